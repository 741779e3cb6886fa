"""The reject file: every row that was not loaded, with its line and the reason, as JSON Lines."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from alert_pipelines.loading.reader import LoadError


def default_reject_path(path: Path) -> Path:
    """Where the rejects of the file `path` go unless told: its name with .rejects.jsonl, in the working directory."""
    name = path.name.removesuffix(".gz")
    return Path.cwd() / f"{Path(name).stem}.rejects.jsonl"


class RejectFile:
    """Opened at the first reject; an earlier load's is removed by `begin`, so a load without any leaves no file."""

    def __init__(self, path: Path, loaded: Path) -> None:
        """For the rejects of the file `loaded`; raises LoadError where `path` cannot become their file."""
        if path.exists() and loaded.exists() and path.samefile(loaded):
            raise LoadError(f"the reject file {path} is the file to load: name another")
        if not path.parent.is_dir() or path.is_dir():
            raise LoadError(f"the reject file {path} cannot be made: name a file in a directory that exists")
        self._path = path
        self._stack = ExitStack()
        self._file: TextIO | None = None
        self.rows = 0

    @property
    def path(self) -> Path | None:
        """The file, or None while nothing was rejected."""
        return self._path if self.rows else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Remove what an earlier load left, once this one has begun. Raises LoadError when it cannot be removed."""
        # /dev/null and /dev/stdout are named, too: devices and links stay.
        if self._path.is_file() and not self._path.is_symlink():
            with self._writing():
                self._path.unlink()

    def add(self, line: int, reason: str, row: str) -> None:
        """Write one reject; `row` is the row's own text. Raises LoadError when the file cannot be written."""
        with self._writing():
            if self._file is None:
                self._file = self._stack.enter_context(self._path.open("w", encoding="utf-8"))
            self._file.write(json.dumps({"line": line, "reason": reason, "row": row}) + "\n")
        self.rows += 1

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LoadError(
                f"the reject file {self._path} cannot be written: {error.strerror or error}. Name another and load "
                "the file again: what is loaded already stays as it is."
            ) from error
