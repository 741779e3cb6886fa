"""The inbox, a directory for exports: which file is next, how it is read, and where it goes afterwards.

Each directory in it is for one kind of export: it has a `mapping.yaml`, or the name of a preset.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from alert_pipelines.errors import InboxError
from alert_pipelines.loading.presets import preset_names

DONE, FAILED = "done", "failed"
MAPPING = "mapping.yaml"
SETTLED_SECONDS = 10.0
"""A file that changed more recently may not be complete."""
_UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")


class Waiting(NamedTuple):
    """A file to load, how it is read, and a key that differs from other files of the same name."""

    path: Path
    reading: dict[str, str]
    key: str


class Inbox(NamedTuple):
    """The files that wait, oldest first, and what is not loaded, with the reason."""

    files: list[Waiting]
    left: list[str]


def look_into(inbox: Path, now: float) -> Inbox:
    """Return the files of `inbox` at the time `now`. Raises InboxError if the directory cannot be read."""
    files: list[tuple[float, Waiting]] = []
    left: list[str] = []
    try:
        for entry in sorted(inbox.iterdir()):
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                left.append(f"{entry.name} is not in the directory of a mapping or preset")
                continue
            reading = _reading(entry)
            if reading is None:
                left.append(f"{entry.name} has no {MAPPING} and is not named after a preset")
                continue
            files += _waiting(entry, reading, now)
    except OSError as error:
        raise InboxError(
            f"the inbox {inbox} cannot be read: {error.strerror or error}. Create the directory, or grant the right to "
            "read and write it"
        ) from error
    return Inbox([waiting for _, waiting in sorted(files, key=lambda each: (each[0], each[1].path.name))], left)


def _reading(directory: Path) -> dict[str, str] | None:
    if (directory / MAPPING).is_file():
        return {"mapping": str(directory / MAPPING)}
    return {"preset": directory.name} if directory.name in preset_names() else None


def _waiting(directory: Path, reading: dict[str, str], now: float) -> Iterator[tuple[float, Waiting]]:
    for path in directory.iterdir():
        if path.name == MAPPING or path.name.startswith(".") or path.name.endswith(_UNFINISHED) or not path.is_file():
            continue
        seen = path.stat()
        if now - seen.st_mtime >= SETTLED_SECONDS:
            yield seen.st_mtime, Waiting(path, reading, f"{path}:{seen.st_mtime_ns}:{seen.st_size}")


def reject_path_of(path: Path) -> Path:
    """Return the path for rejected rows of a file of the inbox; creates its directory."""
    (path.parent / FAILED).mkdir(exist_ok=True)
    return path.parent / FAILED / f"{path.name}.rejects.jsonl"


def put_away(path: Path, name: str) -> Path:
    """Move a file into the directory `name` next to it, with a number if its name is taken.

    Raises OSError if it cannot be moved.
    """
    directory = path.parent / name
    directory.mkdir(exist_ok=True)
    there, number = directory / path.name, 1
    while there.exists():
        number += 1
        there = directory / f"{path.stem}.{number}{path.suffix}"
    return path.rename(there)
