"""The sources that a rule names: one, a list, or every one."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

EVERY_SOURCE = "*"


def _checked(given: str | list[str]) -> str | list[str]:
    if isinstance(given, str):
        return given
    if EVERY_SOURCE in given:
        raise ValueError(f"{EVERY_SOURCE!r} stands for every source: give it by itself, not in a list")
    if len(set(given)) < len(given):
        raise ValueError("names a source twice")
    # One text for one meaning.
    return given[0] if len(given) == 1 else given


_Source = Annotated[StrictStr, Field(min_length=1, max_length=100)]
_Sources = Annotated[list[_Source], Field(min_length=1, max_length=100)]
SourceType = Annotated[_Source | _Sources, AfterValidator(_checked)]


def sources_of(given: str | list[str]) -> tuple[str, ...] | None:
    """The sources that `given` names; None for every source."""
    if isinstance(given, str):
        return None if given == EVERY_SOURCE else (given,)
    return tuple(given)
