"""Valid names of rules, windows and calendars."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr


def one_line(name: str) -> str:
    """Return `name` if it fits on a line as it is; else ValueError."""
    # The service calls its rules what it likes; a line break in an id would break tables and logs.
    if not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} has control characters, or spaces around it; choose another")
    return name


Name = Annotated[StrictStr, Field(min_length=1, max_length=100), AfterValidator(one_line)]
