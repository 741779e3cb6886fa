"""Reads a text file as numbered lines, gzipped or not, in memory that does not grow with the file or a line."""

import codecs
import gzip
import io
import os
import zlib
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple, Self, TextIO

from alert_pipelines.errors import LoadError

# Longer lines are rejected and only their beginning is kept, so that no line can fill the memory.
MAX_LINE = 1_000_000
KEPT_OF_LINE = 1_000
TOO_LONG = f"a line of {MAX_LINE:,} characters or more"

READ_ERRORS = (OSError, EOFError, UnicodeError, zlib.error)
"""What reading on from a stream of `open_text` may raise."""

_GZIP = b"\x1f\x8b"
_BEGINNING = 8_192
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a text file, gzipped or not.

    Raises LoadError if it cannot be opened, or is UTF-16 and `encoding` is not.
    """
    codec = codecs.lookup(encoding).name
    try:
        if _first_bytes(path) in _UTF_16 and not codec.startswith(("utf-16", "utf-32")):
            raise LoadError(f"{path} seems to be UTF-16, and the mapping reads it as {codec}: write encoding: utf-16")
        unpacked = open_bytes(path)
    except OSError as error:
        raise LoadError(f"{path} cannot be opened: {error.strerror or error}. Check its name and rights.") from error
    if codec == "utf-8":
        encoding = "utf-8-sig"  # a byte order mark, as spreadsheets write it, is not part of the first column
    # Bytes that are not valid become surrogates: only their row is rejected, not the file.
    return io.TextIOWrapper(unpacked, encoding=encoding, errors="surrogateescape", newline="")


def open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """Open a file as bytes, unpacked: gzip is recognized by its first bytes, or by the name of an empty file or a pipe.

    Raises LoadError if the name says gzip and the bytes do not.
    """
    start, named = _first_bytes(path), path.suffix == ".gz"
    if start and start != _GZIP and named:
        raise LoadError(
            f"{path} is not a valid gzip file: its name ends in .gz, its first bytes are not those of gzip. "
            "Rename it without .gz, or fetch it again."
        )
    return gzip.open(path, "rb") if start == _GZIP or named else path.open("rb")


def _first_bytes(path: Path) -> bytes:
    if not path.is_file():
        return b""  # a pipe gives its bytes once
    with path.open("rb") as stream:
        return stream.read(2)


def share_read(stream: TextIO) -> float | None:
    """Return the share of the file that was read; None if its size is not known, as for a pipe."""
    if stream.closed:
        return 1.0
    unpacked = stream.buffer
    raw: Any = unpacked.fileobj if isinstance(unpacked, gzip.GzipFile) else unpacked
    size = os.fstat(raw.fileno()).st_size
    return raw.tell() / size if size else None


def beginning(stream: TextIO, path: Path) -> bytes:
    """Return some thousand bytes, unpacked, from the start of a stream of `open_text`, without consuming them.

    Raises LoadError if they cannot be read.
    """
    unpacked: Any = stream.buffer
    try:
        return bytes(unpacked.peek(_BEGINNING))
    except READ_ERRORS as error:
        raise LoadError(f"{path} cannot be read: {error}. Fetch it again.") from error


class _Line(NamedTuple):
    """A line of the file, or its beginning if it is too long; then a CSV parser gets `instead`."""

    text: str
    instead: str | None = None


class Lines:
    """The lines of a file, numbered. Lines since the last `mark`, except the first, can be given back."""

    def __init__(self, stream: TextIO, path: Path, quote: str = '"') -> None:
        self.path = path
        self._quote = quote
        self.number = 0
        self._stream = stream
        self._taken: list[_Line] = []
        self._returned: deque[_Line] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else self._read()
        if not line.text:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        return line.text if line.instead is None else line.instead

    def _read(self) -> _Line:
        text = piece = self._read_piece()
        if not _goes_on(piece):
            return _Line(text)
        quotes = piece.count(self._quote)
        while _goes_on(piece):
            piece = self._read_piece()
            quotes += piece.count(self._quote)
        # The same number of open quotes as in the whole line, so that the row ends where it should.
        return _Line(text[:KEPT_OF_LINE], self._quote * (quotes % 2) + "\n")

    def _read_piece(self) -> str:
        try:
            return self._stream.readline(MAX_LINE)
        except READ_ERRORS as error:
            raise LoadError(
                f"{self.path} cannot be read after line {self.number}: {error}. Fetch the file again and "
                "load it again: alerts that are loaded already are not changed."
            ) from error

    def mark(self) -> int:
        """Forget the lines taken; return the number of the next one."""
        self._taken.clear()
        return self.number + 1

    def keep_first(self) -> None:
        """Give back all lines taken except the first."""
        self._returned.extendleft(reversed(self._taken[1:]))
        self.number -= len(self._taken) - 1
        del self._taken[1:]

    @property
    def text(self) -> str:
        """The lines taken, without the last line end."""
        return "".join(line.text for line in self._taken).rstrip("\r\n")

    @property
    def too_long(self) -> bool:
        """Whether a line taken is too long, so that `text` has only its beginning."""
        return any(line.instead is not None for line in self._taken)


def _goes_on(piece: str) -> bool:
    return len(piece) == MAX_LINE and not piece.endswith(("\n", "\r"))
