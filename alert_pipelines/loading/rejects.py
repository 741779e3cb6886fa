"""Counts rejected rows by reason and writes them, with line and reason, to the reject file, as JSON Lines."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TextIO

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.readers.rows import BadRow

_MAX_EXAMPLES = 5
_MAX_EXAMPLE_LENGTH = 60


@dataclass
class RejectReason:
    """A reason for rejected rows, with their number, the line of the first, and example values."""

    reason: str
    first_line: int
    rows: int = 0
    values: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """As in `2,791 × geoCode.UGC is a list (first: line 1)`."""
        values = f": {', '.join(map(repr, self.values))}" if self.values else ""
        return f"{self.rows:,} × {self.reason}{values} (first: line {self.first_line:,})"

    def count(self, value: str | None) -> None:
        """Count one more row, rejected for `value`."""
        self.rows += 1
        if value is not None and len(self.values) < _MAX_EXAMPLES:
            shown = value if len(value) <= _MAX_EXAMPLE_LENGTH else f"{value[:_MAX_EXAMPLE_LENGTH]}…"
            if shown not in self.values:
                self.values.append(shown)


def default_reject_path(path: Path) -> Path:
    """Return the default reject file for `path`: its name with .rejects.jsonl, in the working directory."""
    name = path.name.removesuffix(".gz")
    return Path.cwd() / f"{Path(name).stem}.rejects.jsonl"


class Rejects:
    """Counts rows that cannot be used."""

    def __init__(self) -> None:
        self.rows = 0
        self._reasons: dict[str, RejectReason] = {}

    @property
    def reasons(self) -> list[RejectReason]:
        """Why rows were rejected, the most frequent reason first."""
        return sorted(self._reasons.values(), key=lambda reason: -reason.rows)

    def add(self, row: BadRow, value: str | None = None) -> None:
        """Count a row, with `value` as an example."""
        self.rows += 1
        self._reasons.setdefault(row.kind, RejectReason(row.kind, row.line)).count(value)


class RejectFile(Rejects):
    """The reject file. It is opened at the first reject. `begin` removes the file of an earlier load."""

    def __init__(self, path: Path, loaded: Path) -> None:
        """For the rejects of the file `loaded`. Raises LoadError if `path` cannot be the reject file."""
        super().__init__()
        if path.exists() and loaded.exists() and path.samefile(loaded):
            raise LoadError(f"the reject file {path} is the file to load: choose another reject file")
        if not path.parent.is_dir() or path.is_dir():
            raise LoadError(f"the reject file {path} cannot be created: choose a file in a directory that exists")
        self._path = path
        self._stack = ExitStack()
        self._file: TextIO | None = None

    @property
    def path(self) -> Path | None:
        """The file, or None while nothing was rejected."""
        return self._path if self.rows else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Remove the file of an earlier load when this one has started. Raises LoadError if it cannot be removed."""
        # The path may be /dev/null or /dev/stdout: devices and links are not removed.
        if self._path.is_file() and not self._path.is_symlink():
            with self._writing():
                self._path.unlink()

    def add(self, row: BadRow, value: str | None = None) -> None:
        """Write and count a row, with `value` as an example. Raises LoadError if the file cannot be written."""
        with self._writing():
            if self._file is None:
                self._file = self._stack.enter_context(self._path.open("w", encoding="utf-8"))
            self._file.write(json.dumps({"line": row.line, "reason": row.reason, "row": row.text}) + "\n")
        super().add(row, value)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LoadError(
                f"the reject file {self._path} cannot be written: {error.strerror or error}. Choose another reject "
                "file and load the file again: alerts that are loaded already are not changed."
            ) from error
