"""The daily report: what was done to alerts on a day and in the days before it, rolled up with pandas.

This module adds up; `activity` reads, `daily_page` shows and exports. It loads pandas, so nothing on a scan's path,
nor what the code server loads, may import it. What each number means is said in docs/daily-report.md.
"""

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil, floor

import pandas as pd

from alert_pipelines.errors import ReportError
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.monitoring.health import PendingOfSource, pending_by_source
from alert_pipelines.reports.activity import MAX_DAYS, Change, changes
from alert_pipelines.rules.sentences import sentences
from alert_pipelines.rules.store import usable_rules
from alert_pipelines.timestamps import EARLIEST_AS_OF, LATEST_AS_OF

TOP = 10
CHANGES = ("opened", "closed", "escalated", "resolved", "reopened", "undone")

# What the first table lists, each with what it counts.
_SUMMARY = (
    ("opened", "opened", ""),
    ("closed by rules", "closed", "rules"),
    ("closed by people", "closed", "people"),
    ("escalated by rules", "escalated", "rules"),
    ("escalated by people", "escalated", "people"),
    ("resolved by people", "resolved", "people"),
    ("resolved by automation", "resolved", "rules"),
    ("reopened", "reopened", None),
    ("undone", "undone", "undo"),
)
_COUNTS = ["day", "what", "by", "source", "rule"]
_KEYS = ["source", "key", "what", "of_day"]
_AGES = ["day", "by", "minutes"]


@dataclass(frozen=True)
class DailyReport:
    """The day `day` and the `days` that end with it, in UTC.

    `counts`: alerts by day, what, by, source, rule. `ages`: how many were closed or resolved, by day, by and minutes
    since they were opened. `keys`: alerts by source, key, what and whether on the day itself (`of_day`). `pending`:
    what was pending at `made_at`, whatever the day. `sentences`: what the rules of `made_at` do, by rule id.
    """

    day: date
    days: int
    counts: pd.DataFrame
    ages: pd.DataFrame
    keys: pd.DataFrame
    pending: tuple[PendingOfSource, ...]
    sentences: Mapping[str, str]
    made_at: datetime
    seconds: float

    @property
    def first(self) -> date:
        """The first of the days."""
        return self.day - timedelta(days=self.days - 1)

    @property
    def days_with_data(self) -> int:
        """The days from the first on which anything was done to the day itself; 1 where there are none."""
        first = self.counts["day"].min() if len(self.counts) else self.day.isoformat()
        return (self.day - date.fromisoformat(first)).days + 1

    def count(self, what: str, by: str | None = None) -> int:
        """How many alerts that is on the day itself; `by` None is by anyone."""
        return _count(self._of_day(self.counts), what, by)

    def summary(self) -> pd.DataFrame:
        """What was done, on the day, in all days, and in a day of these on the average.

        The average is over the days since the first on which anything was done: before it there may be no data.
        """
        today = self._of_day(self.counts)
        rows = [(name, _count(today, what, by), _count(self.counts, what, by)) for name, what, by in _SUMMARY]
        frame = pd.DataFrame(rows, columns=["what", "on_the_day", "in_all_days"])
        return frame.assign(a_day_on_average=(frame["in_all_days"] / self.days_with_data).round(1))

    def by_rule(self) -> pd.DataFrame:
        """What each rule closed and escalated, the most first, and what it does, if it is still stored."""
        done = self._by("rule", self.counts[self.counts["by"] == "rules"], ("closed", "escalated"))
        return done.assign(what_it_does=[self.sentences.get(rule, "") for rule in done["rule"]])

    def by_source(self) -> pd.DataFrame:
        """What was done to the alerts of each source, the most first."""
        return self._by("source", self.counts, CHANGES[:-1])

    def per_day(self) -> pd.DataFrame:
        """A row a day, also where nothing was done: counts, closes by rules and people, time to close in minutes."""
        frame = _spread(self.counts, "day", CHANGES)
        for by in ("rules", "people"):
            ends = self.counts[(self.counts["by"] == by) & self.counts["what"].isin(["closed", "resolved"])]
            frame[f"ended_by_{by}"] = ends.groupby("day")["alerts"].sum()
        days = [(self.first + timedelta(days=n)).isoformat() for n in range(self.days)]
        frame = frame.reindex(pd.Index(days, name="day")).fillna(0).astype(int)
        times = {day: _quantiles(ages) for day, ages in self.ages.groupby("day")}
        for position, name in enumerate(("median_min", "p90_min")):
            frame[name] = [times[day][position] if day in times else None for day in frame.index]
        return frame.reset_index()

    def time_to_close(self) -> pd.DataFrame:
        """Minutes from opened to closed or resolved: how many, median and 90th percentile; by whom, day and days."""
        rows = []
        for by in ("rules", "people", "all"):
            ages = self.ages if by == "all" else self.ages[self.ages["by"] == by]
            for name, part in (("the day", self._of_day(ages)), ("all days", ages)):
                rows.append((by, name, int(part["alerts"].sum()), *_quantiles(part)))
        return pd.DataFrame(rows, columns=["by", "of", "alerts", "median_min", "p90_min"])

    def top_keys(self) -> pd.DataFrame:
        """The keys with the most alerts opened in all days: what was done to these, and how many opened on the day."""
        of_day = self.keys[self.keys["of_day"].astype(bool) & (self.keys["what"] == "opened")]
        opened = of_day.groupby(["source", "key"])["alerts"].sum()
        table = _spread(self.keys, ["source", "key"], CHANGES[:4]).assign(opened_on_the_day=opened)
        table = table.fillna(0).astype(int).reset_index()
        # By name among equals, so that the same alerts make the same report.
        order = table.sort_values(["opened", "escalated", "source", "key"], ascending=[False, False, True, True])
        return order.head(TOP).reset_index(drop=True)

    def pending_now(self) -> pd.DataFrame:
        """What was pending when the report was made, by source and status; the age of the oldest in days."""
        rows = [
            (
                one.source_type,
                str(one.status),
                one.alerts,
                # To the second.
                None if one.oldest is None else round((self.made_at - one.oldest) / timedelta(days=1), 5),
            )
            for one in self.pending
        ]
        return pd.DataFrame(rows, columns=["source", "status", "pending", "oldest_days"])

    def _by(self, column: str, counts: pd.DataFrame, whats: Iterable[str]) -> pd.DataFrame:
        wanted = list(whats)
        of_days = _spread(counts, column, wanted)
        of_day = _spread(self._of_day(counts), column, wanted).reindex(of_days.index, fill_value=0)
        both = of_day.join(of_days.add_suffix("_in_all_days"))
        return both.sort_values(
            [f"{what}_in_all_days" for what in wanted], ascending=False, kind="stable"
        ).reset_index()

    def _of_day(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["day"] == self.day.isoformat()]


@at_the_door
def daily_report(db: AlertDatabase, day: date, *, days: int = 30, max_seconds: float | None = None) -> DailyReport:
    """Report on `day` and the `days` that end with it; nothing is written.

    Memory holds a batch of changes and the sums. Raises ReportError for a day in the future or outside the years 1000
    to 8999 and for a number of days that is not from 1 to 366, ActivityTimeoutError where it would take the server
    longer than `max_seconds`.
    """
    if not EARLIEST_AS_OF.year <= day.year < LATEST_AS_OF.year:
        raise ReportError(f"day {day}: give one of the years 1000 to 8999")
    if not 1 <= days <= MAX_DAYS:
        raise ReportError(f"days {days!r}: expected a whole number from 1 to {MAX_DAYS}")
    started, now = time.perf_counter(), server_now(db)
    if day > now.date():
        raise ReportError(
            f"{day} lies in the future (the server's clock says {now:%Y-%m-%d %H:%M} UTC): report on today or on a day "
            "before"
        )
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    counts, ages, keys = _Sums(_COUNTS), _Sums(_AGES), _Sums(_KEYS)
    for batch in changes(db, end - timedelta(days=days), end, max_seconds=max_seconds):
        frame = pd.DataFrame(batch, columns=list(Change._fields)).assign(alerts=1)
        counts.add(frame)
        # To a tenth of a minute, so that equal ages are one row.
        ages.add(frame[frame["minutes"].notna()].assign(minutes=frame["minutes"].astype(float).round(1)))
        keys.add(frame[frame["key"].notna()].assign(of_day=frame["day"] == day.isoformat()))
    return DailyReport(
        day=day,
        days=days,
        counts=counts.frame,
        ages=ages.frame,
        keys=keys.frame,
        pending=tuple(pending_by_source(db, now)),
        sentences=sentences(usable_rules(db)[0]),
        made_at=now,
        seconds=time.perf_counter() - started,
    )


class _Sums:
    """Alerts summed by some columns, batch after batch."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self.frame = pd.DataFrame(columns=[*columns, "alerts"]).astype({"alerts": int})

    def add(self, batch: pd.DataFrame) -> None:
        if batch.empty:
            return
        rows = batch[[*self._columns, "alerts"]]
        together = rows if self.frame.empty else pd.concat([self.frame, rows])
        self.frame = together.groupby(self._columns)["alerts"].sum().reset_index()


def _count(counts: pd.DataFrame, what: str, by: str | None) -> int:
    which = counts["what"] == what
    if by is not None:
        which &= counts["by"] == by
    return int(counts.loc[which, "alerts"].sum())


def _spread(counts: pd.DataFrame, rows: str | list[str], wanted: Iterable[str]) -> pd.DataFrame:
    """The alerts by `rows`, with a column for each of the `wanted` values of `what`."""
    table = counts.groupby([*([rows] if isinstance(rows, str) else rows), "what"])["alerts"].sum().unstack("what")
    return table.reindex(columns=list(wanted)).fillna(0).astype(int).rename_axis(columns=None)


def _quantiles(ages: pd.DataFrame) -> tuple[float | None, float | None]:
    """Median and 90th percentile of the minutes, between two of them in proportion, as pandas and numpy have it."""
    if ages.empty:
        return None, None
    sums = ages.groupby("minutes")["alerts"].sum().sort_index()
    minutes, upto = sums.index.tolist(), sums.cumsum().tolist()

    def quantile(share: float) -> float:
        place = share * (upto[-1] - 1)
        below, above = (minutes[bisect_right(upto, position)] for position in (floor(place), ceil(place)))
        return round(float(below + (place - floor(place)) * (above - below)), 1)

    return quantile(0.5), quantile(0.9)
