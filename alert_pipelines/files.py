"""Reading and writing files that people name: one without an end is not read; one that is written is whole or as it was
before, and what is not a file is never replaced."""

import errno
import os
import tempfile
from pathlib import Path

# The links in them lead to what a process has open: a file put in place of that one would reach nobody.
_SYSTEM_TREES = (Path("/dev"), Path("/proc"))

MAX_READ_BYTES = 64 * 1024 * 1024
"""Rules and mappings of people are far smaller."""


def read_file(path: Path, encoding: str) -> str:
    """The text of `path`. Raises OSError, also for more than MAX_READ_BYTES, and UnicodeDecodeError."""
    with path.open("rb") as file:
        data = file.read(MAX_READ_BYTES + 1)
    if len(data) > MAX_READ_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MAX_READ_BYTES} bytes")
    return data.decode(encoding)


def write_file(path: Path, content: str | bytes) -> None:
    """Write `content`, text as UTF-8, to `path`, whose directory exists. Raises OSError.

    A file appears whole or stays as it was: a run may end at any time, and others read what is there. Through a link
    the file behind it is written, and the link stays. Into a device or a pipe the content is written as it comes.
    """
    data = content.encode() if isinstance(content, str) else content
    if is_special(path):
        path.write_bytes(data)
        return
    target = path.resolve()
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".unfinished", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(data)
        Path(unfinished).chmod(_mode(target))
        Path(unfinished).replace(target)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def is_special(path: Path) -> bool:
    """Whether `path` names something that is neither a file nor yet to be made: a device, a pipe, a directory."""
    in_system = any(path.absolute().is_relative_to(tree) for tree in _SYSTEM_TREES)
    return path.exists() and (in_system or not path.is_file())


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or those of a new one."""
    if target.exists():
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
