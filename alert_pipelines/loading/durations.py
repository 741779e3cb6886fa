"""Reads durations of exports: `00:10:03`, `1.02:03:04`, `2 days, 0:10:03`, `PT10M`, or a number of a unit."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from alert_pipelines.loading.values import BadValueError, to_float, to_text

UNITS = {
    "ms": timedelta(milliseconds=1),
    "seconds": timedelta(seconds=1),
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
}
_CLOCK = re.compile(
    r"(?:(?P<days>\d+)(?:\.|\s*days?,?\s+))?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d(?:\.\d+)?)"
)
_ISO = re.compile(
    r"P(?=.)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_NUMBER = re.compile(r"\d+(\.\d+)?")


def check_unit(unit: str) -> str:
    """Return `unit` if it is a unit of durations; else raise ValueError."""
    if unit not in UNITS:
        raise ValueError(f"{unit!r} is not a valid unit: expected one of {', '.join(UNITS)}")
    return unit


def duration_reader(unit: str | None) -> Callable[[Any], timedelta]:
    """Return a converter to durations. Plain numbers are in `unit`; without a unit they are refused."""
    expected = "is not a valid duration: expected 00:10:03 or PT10M" + (f", or a number of {unit}" if unit else "")

    def convert(value: Any) -> timedelta:
        text = to_text(value).strip()
        if _NUMBER.fullmatch(text) and unit is None:
            raise BadValueError(f"{expected}; for plain numbers write the unit, such as unit: minutes", text)
        try:
            if _NUMBER.fullmatch(text) and unit is not None:
                return to_float(text) * UNITS[unit]
            if written := _CLOCK.fullmatch(text) or _ISO.fullmatch(text):
                return timedelta(**{name: float(part) for name, part in written.groupdict().items() if part})
        except OverflowError:
            raise BadValueError("is not a valid duration: it is too long", text) from None
        raise BadValueError(expected, text)

    return convert


def end_of(end: datetime | timedelta | None, start: datetime) -> datetime | None:
    """Return `end` as a time: a duration counts from `start`. None if it is later than the calendar's last year."""
    try:
        return start + end if isinstance(end, timedelta) else end
    except OverflowError:
        return None
