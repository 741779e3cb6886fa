"""IANA time zones as settings, calendars and windows name them."""

from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, StrictStr

from alert_pipelines.spelling import nearest


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """The time zone `name`. Raises ValueError, with the nearest spelling."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        near = nearest(name, _names())
        meant = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"expected an IANA time zone such as 'Europe/Berlin'; got {name!r:.100}{meant}") from error


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    # Without the copies of all of them that some systems keep under these two.
    return frozenset(name for name in available_timezones() if not name.startswith(("posix/", "right/")))


def _checked(name: str) -> str:
    zone_of(name)
    return name


ZoneName = Annotated[StrictStr, AfterValidator(_checked)]
