"""IANA time zones as rules and windows name them."""

from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, StrictStr

from alert_pipelines.spelling import nearest


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """The time zone `name`. Raises ValueError, with the nearest spelling."""
    try:
        known = name in _names()
        return ZoneInfo(name) if known else _unknown(name)
    except OSError as error:
        raise ValueError(f"the time zone {name!r} cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    # Without the copies of all of them that some systems keep under these two.
    return frozenset(name for name in available_timezones() if not name.startswith(("posix/", "right/")))


def _unknown(name: str) -> ZoneInfo:
    near = nearest(name, _names())
    meant = f"; did you mean {near!r}?" if near else ""
    raise ValueError(f"expected an IANA time zone such as 'Europe/Berlin'; got {name!r:.100}{meant}")


def _checked(name: str) -> str:
    zone_of(name)
    return name


ZoneName = Annotated[StrictStr, AfterValidator(_checked)]
