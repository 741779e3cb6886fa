"""Maintenance windows as models: what a document of `maintenance_windows` may hold, and when a window holds.

What a window takes out of a rule is the compiler's; how windows are listed, added and ended is `maintenance`'s.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

from alert_pipelines.rules.paths import FieldPath, Name
from alert_pipelines.rules.recurrence import Recurrence
from alert_pipelines.rules.sources import EVERY_SOURCE
from alert_pipelines.rules.tree import WHOLE
from alert_pipelines.timestamps import FIRST_DATE, as_utc
from alert_pipelines.zones import ZoneName

UtcDatetime = Annotated[datetime, Field(strict=True), AfterValidator(as_utc)]
MAX_DURATION_MINS = 366 * 24 * 60


MAX_RAISED_SPANS = 1_000
"""The latest occurrences that a window of `covers: raised` looks back to, at most."""
_LOOK_BACK_DAYS = (40, 400, 1_200, 7_400)


def _none_for_every(sources: list[str] | None) -> list[str] | None:
    return None if sources and EVERY_SOURCE in sources else sources


class Covers(StrEnum):
    """Which alerts a window leaves out: all while it holds, and with `raised` also those that were raised in it."""

    NOW = "now"
    RAISED = "raised"


class Span(NamedTuple):
    """From `start` on, until before `end`."""

    start: datetime
    end: datetime


class MaintenanceWindow(BaseModel):
    """A document of `maintenance_windows`: while it holds, its alerts are not decided.

    It holds while from ≤ as_of < to; with `rrule`, for `duration_mins` from each occurrence on, within `from` and `to`
    if they are given. `source_types` left out, or with `"*"`, means every source; `field` and `values` left out means
    every alert of them. `covers: raised` also leaves out, for good, the alerts whose timestamp fell into it.

    From `ended_at` on, the window holds no more. An unknown key is an error: a misspelt `source_types` would
    otherwise widen the window to every source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_id: Name | None = None
    source_types: Annotated[Annotated[list[StrictStr], Field(min_length=1)] | None, AfterValidator(_none_for_every)] = (
        None
    )
    field: FieldPath | None = None
    values: Annotated[list[StrictBool | StrictInt | float | StrictStr], Field(min_length=1)] | None = None
    from_: UtcDatetime | None = Field(None, alias="from")
    to: UtcDatetime | None = None
    rrule: Annotated[StrictStr, Field(min_length=1, max_length=1_000)] | None = None
    duration_mins: Annotated[StrictInt, Field(ge=1, le=MAX_DURATION_MINS), WHOLE] | None = None
    zone: ZoneName | None = None
    ended_at: UtcDatetime | None = None
    covers: Covers | None = None
    reason: StrictStr | None = None
    created_by: StrictStr | None = None
    ended_by: StrictStr | None = None
    end_reason: StrictStr | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.field is None) != (self.values is None):
            raise ValueError("field and values go together: give both or neither")
        given = [name for name in ("rrule", "duration_mins", "zone") if getattr(self, name) is not None]
        if given and len(given) < 3:
            raise ValueError(f"rrule, duration_mins and zone go together: give all or none; got {' and '.join(given)}")
        if self.recurrence:
            self.recurrence.check()
        elif self.from_ is None or self.to is None:
            missing = [name for name, value in (("from", self.from_), ("to", self.to)) if value is None]
            raise ValueError(f"{' and '.join(missing)} missing: give from and to, or rrule, duration_mins and zone")
        if self.from_ and self.to:
            self._check_occurs(self.from_, self.to)
        return self

    def _check_occurs(self, from_: datetime, to: datetime) -> None:
        first = self.recurrence.next_start(from_ - timedelta(milliseconds=1)) if self.recurrence else from_
        if first is None or to <= first:
            after = (
                f"from ({from_.isoformat()})" if first in (from_, None) else f"its first start ({first.isoformat()})"
            )
            raise ValueError(f"to: the window never occurs: expected a time after {after}; got {to.isoformat()}")

    @property
    def recurrence(self) -> Recurrence | None:
        """When it occurs, if it recurs."""
        return Recurrence(self.rrule, self.zone, self.from_) if self.rrule and self.zone else None

    @property
    def alerts(self) -> str:
        """Which alerts of its sources the window is about, in words."""
        if self.field is None:
            return "all alerts"
        return f"{self.field}: {', '.join(map(str, self.values or ()))}"

    def spans(self, after: datetime, until: datetime) -> Iterator[Span]:
        """The spans in which it holds that are not over at `after` and have begun by `until`, in order."""
        last = min((bound for bound in (self.to, self.ended_at) if bound is not None), default=None)
        for start, occurrence_end in self._occurrences(after, until):
            end = occurrence_end if last is None else min(occurrence_end, last)
            if after < end and start < end and start <= until:
                yield Span(start, end)

    def span_at(self, as_of: datetime) -> Span | None:
        """The span in which it holds at `as_of`; None if it does not hold."""
        return next(self.spans(as_of, as_of), None)

    def holds_at(self, as_of: datetime) -> bool:
        """Whether the window holds at `as_of`."""
        return self.span_at(as_of) is not None

    def raised_spans(self, as_of: datetime) -> list[Span]:
        """The spans, in order, of which it leaves out for good what was raised in them: those begun by `as_of`."""
        if self.covers is not Covers.RAISED:
            return []
        found: list[Span] = []
        for days in _LOOK_BACK_DAYS if self.recurrence else (0,):
            found = list(self.spans(as_of - timedelta(days=days) if days else FIRST_DATE, as_of))
            if len(found) >= MAX_RAISED_SPANS:
                break
        return found[-MAX_RAISED_SPANS:]

    def forgets(self, since: datetime, as_of: datetime) -> bool:
        """Whether it looked back at `since` to an occurrence that it looks back to no more at `as_of`."""
        first = self.raised_spans(since)[:1]
        return bool(first) and first != self.raised_spans(as_of)[:1]

    def matters_at(self, as_of: datetime) -> bool:
        """Whether it leaves anything out at `as_of`."""
        return self.holds_at(as_of) or bool(self.raised_spans(as_of))

    def span_about(self, timestamp: object, as_of: datetime) -> Span | None:
        """The span for which it leaves out an alert of this timestamp at `as_of`; None if it does not."""
        if not isinstance(timestamp, datetime) or self.holds_at(as_of):
            return self.span_at(as_of)
        return next((span for span in self.raised_spans(as_of) if span.start <= timestamp < span.end), None)

    def next_span(self, after: datetime) -> Span | None:
        """The span that holds at `after` or is the next to begin; None where none is to come."""
        if self.recurrence is None:
            return next(self.spans(after, datetime.max.replace(tzinfo=after.tzinfo)), None)
        start = self.recurrence.next_start(after)
        return next(self.spans(after, start or after), None)

    def _occurrences(self, after: datetime, until: datetime) -> Iterator[Span]:
        if self.recurrence is None or self.duration_mins is None:
            assert self.from_ is not None
            assert self.to is not None
            yield Span(self.from_, self.to)
            return
        lasts = timedelta(minutes=self.duration_mins)
        for start in self.recurrence.starts(after - lasts, until):
            yield Span(start, start + lasts)
