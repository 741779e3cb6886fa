"""Counts minutes at as_of: all of them, or only those in the open hours of a calendar."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alert_pipelines.rules.hours import Hours


@dataclass(frozen=True)
class Clock:
    """The time that a rule is judged at, and the hours in which its minutes run, None for always."""

    as_of: datetime
    hours: Hours | None = None
    minutes: str = "minutes"

    def before(self, minutes: int) -> datetime:
        """The time that many minutes before as_of: what is dated at or before it is that old."""
        return self.hours.before(self.as_of, minutes) if self.hours else self.as_of - timedelta(minutes=minutes)

    def at(self, as_of: datetime) -> "Clock":
        """The same clock at another time."""
        return replace(self, as_of=as_of)

    def counted(self, since: object, minutes: int) -> str:
        """How far the open minutes since a date have come, as an explanation says it; nothing without a calendar."""
        if self.hours is None or not isinstance(since, datetime):
            return ""
        passed = self.hours.minutes_between(since, self.as_of) if since < self.as_of else 0
        return f"counts {int(passed)} of {minutes} open minutes"
