"""What a field path in a rule may be, the one place where a rule's text becomes part of a query's key; and a name."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr, StringConstraints

MAX_LENGTH = 200
WRITTEN_FIELDS = frozenset(
    {"status", "severity", "state_history", "escalated_at", "closed_at", "auto_close_reason", "updated_at"}
)
"""What a scan writes, and so no part of a key: decisions would change their own evidence."""


def check_path(path: str) -> str:
    """Return `path` if it is dotted names that no server reads as an operator or a position; else ValueError."""
    if "$" in path or any(ord(character) < 32 for character in path):
        raise ValueError(f"field path {path!r} holds '$' or a control character: write it as metadata.driver_id")
    names = path.split(".")
    if not all(names):
        raise ValueError(f"field path {path!r} has an empty part: write it as metadata.driver_id")
    if any(name.isdigit() for name in names):
        raise ValueError(f"field path {path!r} names a position in an array: a path reaches every element")
    return path


def check_name(name: str) -> str:
    """Return `name` if it is one part of a path; else ValueError."""
    if "." in name:
        raise ValueError(f"{name!r} is a path: name a field of metadata, such as document_valid")
    return check_path(name)


FieldPath = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_LENGTH, strict=True), AfterValidator(check_path)
]
MetadataName = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_LENGTH, strict=True), AfterValidator(check_name)
]


def one_line(name: str) -> str:
    """Return `name` if it fits on a line as it is; else ValueError."""
    # The service calls its rules what it likes; a line break in an id would break tables and logs.
    if not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} has control characters, or spaces around it; choose another")
    return name


Name = Annotated[StrictStr, Field(min_length=1, max_length=100), AfterValidator(one_line)]
