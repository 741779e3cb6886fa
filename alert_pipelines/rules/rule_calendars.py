"""The fields of a rule that name calendars, and the lookup of these calendars."""

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field, StrictStr

from alert_pipelines.errors import CalendarNotFoundError
from alert_pipelines.rules.calendars import Calendar
from alert_pipelines.rules.hours import Clock, Hours

CALENDAR_FIELDS = ("calendar", "only_during", "calendars")


class HasCalendars(BaseModel):
    """The part of a rule that names calendars. Those of the collection are added before it is compiled."""

    calendar: StrictStr | None = Field(
        None, description="the calendar in whose open hours alone the minutes of this rule run"
    )
    only_during: StrictStr | None = Field(None, description="the calendar during whose open hours alone it decides")
    calendars: list[Calendar] | None = Field(
        None, description="calendars of this rule; others are looked for in the file, then in the collection calendars"
    )

    @property
    def calendar_names(self) -> list[str]:
        """The calendars that it goes by."""
        return list(dict.fromkeys(name for name in (self.calendar, self.only_during) if name))

    def calendar_of(self, name: str) -> Calendar | None:
        """The calendar `name`, if the rule brings it."""
        return next((calendar for calendar in self.calendars or () if calendar.name == name), None)

    def with_calendars(self, calendars: Iterable[Calendar]) -> Self:
        """The rule with those of `calendars` that it goes by and does not bring itself."""
        added = [one for one in calendars if one.name in self.calendar_names and not self.calendar_of(one.name)]
        return self.model_copy(update={"calendars": [*(self.calendars or ()), *added]}) if added else self

    def clock(self, as_of: datetime) -> Clock:
        """How the rule counts minutes at `as_of`. Raises CalendarNotFoundError."""
        if self.calendar is None:
            return Clock(as_of)
        return Clock(as_of, self._hours(self.calendar), f"open minutes of calendar {self.calendar!r}")

    def only_hours(self) -> Hours | None:
        """The hours in which alone it decides; None for always. Raises CalendarNotFoundError."""
        return self._hours(self.only_during) if self.only_during else None

    def _hours(self, name: str) -> Hours:
        calendar = self.calendar_of(name)
        if calendar is None:
            raise CalendarNotFoundError(f"the calendar {name!r} of a rule was not looked up before it was compiled")
        return calendar.hours
