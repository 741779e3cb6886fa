"""Calendars as models: what a document of `calendars`, or a rule file, may say of open hours."""

import re
from datetime import date, datetime
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, model_validator

from alert_pipelines.rules.hours import DaySpans, Hours
from alert_pipelines.rules.paths import Name
from alert_pipelines.zones import ZoneName

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_MINUTES_A_DAY = 24 * 60


def _as_date(value: Any) -> Any:
    """A date as a file or a document may hold it, as text."""
    if isinstance(value, datetime):
        # MongoDB has no dates without a time.
        if (value.hour, value.minute, value.second, value.microsecond) != (0, 0, 0, 0):
            raise ValueError(f"expected a date such as 2026-12-25; got {value.isoformat()}, which has a time")
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat()
    except (ValueError, TypeError) as error:
        raise ValueError(f"expected a date such as 2026-12-25; got {value!r:.100}") from error


_Holiday = Annotated[StrictStr, BeforeValidator(_as_date)]


class Calendar(BaseModel):
    """Open hours in the local time of a zone. An unknown key is an error: a misspelt one would open on holidays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="unique; what rules call the calendar")
    zone: ZoneName = Field(description="the IANA time zone of its hours, such as Europe/Berlin")
    open: dict[StrictStr, list[StrictStr]] = Field(
        description="by day (mon) or days (mon-fri), the spans of local time in which it is open, such as 08:00-18:00"
    )
    holidays: list[_Holiday] = Field([], max_length=10_000, description="dates on which it is closed all day")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not any(self.hours.week):
            raise ValueError("open: the calendar never opens: give at least one span, such as mon-fri: ['08:00-18:00']")
        return self

    @cached_property
    def hours(self) -> Hours:
        """Its open hours."""
        week: list[list[tuple[int, int]]] = [[] for _ in _DAYS]
        for names, spans in self.open.items():
            for day in _days(names):
                week[day] += [_span(text) for text in spans]
        return Hours(self.zone, tuple(map(_in_order, week)), frozenset(map(date.fromisoformat, self.holidays)))


def _days(names: str) -> list[int]:
    first, dash, last = names.strip().lower().partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError(f"open: {names!r:.100} is not a valid day: expected one of {', '.join(_DAYS)}, or mon-fri")
    start = _DAYS.index(first)
    count = (_DAYS.index(last or first) - start) % 7 + 1
    return [(start + n) % 7 for n in range(count)]


def _span(text: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(text)
    start, end = (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])) if found else (0, 0)
    if not start < end <= _MINUTES_A_DAY:
        raise ValueError(
            f"open: {text!r:.100} is not a valid span: expected a start before an end, such as 08:00-18:00; a night is "
            "two spans, 22:00-24:00 and on the next day 00:00-06:00"
        )
    return start, end


def _in_order(spans: list[tuple[int, int]]) -> DaySpans:
    ordered = sorted(spans)
    for (_, end), (start, _) in pairwise(ordered):
        if start < end:
            raise ValueError("open: two spans of a day overlap: make them one")
    return tuple(ordered)
