"""The daily report on the public data sets, against figures of a plain pass over their files."""

import csv
import functools
import gzip
import statistics
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from alert_pipelines.loading import load_alerts, load_mapping
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.reports.daily import daily_report
from alert_pipelines.rules.files import read_rules
from alert_pipelines.rules.publish import publish_rules

CHECKOUT = Path(__file__).parents[2]
DATA = CHECKOUT.parent / "shared" / "data"
INCIDENTS = DATA / "servicenow_incidents" / "incident_event_log.csv.gz"
INTRUSIONS = DATA / "ids_alerts" / "russellmitchell_alerts.csv.gz"

# The busiest day of all, on which the automation made up for two weeks; and a time in which people reopened some.
PERIODS = ((date(2016, 3, 24), 30), (date(2016, 5, 31), 100))


class Update(NamedTuple):
    """One row of the file, as far as the report is concerned with it."""

    time: datetime
    closed: bool
    by: str
    key: str | None


@functools.cache
def minute(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=UTC)


def percentile_90(values: list[float]) -> float:
    """Between the two nearest of the sorted values in proportion."""
    return statistics.quantiles(values, n=10, method="inclusive")[8]


@pytest.mark.slow
@pytest.mark.skipif(not INCIDENTS.is_file(), reason=f"the public data set {INCIDENTS} is not there")
def test_the_incidents(db: AlertDatabase, tmp_path: Path) -> None:
    mapping = load_mapping(CHECKOUT / "mappings" / "servicenow_incidents.yaml")
    load_alerts(db, INCIDENTS, mapping, reject_path=tmp_path / "bad.jsonl")
    publish_rules(db, read_rules(CHECKOUT / "mappings" / "rules" / "servicenow_incidents.yaml"))

    incidents = read_incidents()
    for day, days in PERIODS:
        check_report(db, day, days, incidents)


def read_incidents() -> list[list[Update]]:
    """The updates of each incident in the order of their time."""
    updates = defaultdict(list)
    with gzip.open(INCIDENTS, "rt", newline="") as stream:
        for row in csv.DictReader(stream):
            parts = (row["subcategory"], row["assignment_group"])
            # They are texts of digits.
            key = None if "?" in parts else " / ".join(f'"{part}"' for part in parts)
            by = "rules" if row["sys_updated_by"] == "908" else "people"
            updates[row["number"]].append(
                Update(minute(row["sys_updated_at"]), row["incident_state"] == "Closed", by, key)
            )
    return [sorted(rows, key=lambda row: row.time) for rows in updates.values()]


def check_report(db: AlertDatabase, last: date, number: int, incidents: list[list[Update]]) -> None:
    """Each incident is opened with its first update; a change to or from the state Closed closes or reopens it."""
    days = [last - timedelta(days=n) for n in reversed(range(number))]
    done: Counter[tuple[date, str]] = Counter()
    keys: Counter[str] = Counter()
    ages = defaultdict(list)
    for updates in incidents:
        born = updates[0].time
        done[born.date(), "opened"] += 1
        # An alert has the key that its last update says.
        if born.date() in days and updates[-1].key is not None:
            keys[updates[-1].key] += 1
        for before, now in pairwise([Update(born, False, "", None), *updates]):
            if before.closed != now.closed:
                done[now.time.date(), f"closed by {now.by}" if now.closed else "reopened"] += 1
                if now.closed:
                    ages[now.time.date()].append((now.time - born).total_seconds() / 60)

    report = daily_report(db, last, days=number)
    found = {row.what: (row.on_the_day, row.in_all_days) for row in report.summary().itertuples(index=False)}
    for what in ("opened", "closed by rules", "closed by people", "reopened"):
        assert found.pop(what) == (done[last, what], sum(done[day, what] for day in days)), what
    assert set(found.values()) == {(0, 0)}, "nobody escalates there, nor resolves"

    per_day = report.per_day().set_index("day")
    for day in days:
        row = per_day.loc[day.isoformat()]
        assert row["opened"] == done[day, "opened"]
        assert row["ended_by_rules"] == done[day, "closed by rules"]
        if ages[day]:
            assert row["median_min"] == pytest.approx(statistics.median(ages[day]), abs=0.06)
    table = report.time_to_close().set_index(["by", "of"])
    for of, values in (("the day", ages[last]), ("all days", [age for day in days for age in ages[day]])):
        assert table.loc[("all", of), "alerts"] == len(values) > 10
        assert table.loc[("all", of), "median_min"] == pytest.approx(statistics.median(values), abs=0.06)
        assert table.loc[("all", of), "p90_min"] == pytest.approx(percentile_90(values), abs=0.06)

    top = report.top_keys()
    assert top["opened"].tolist() == [times for _, times in keys.most_common(len(top))]
    assert all(keys[key] == times for key, times in zip(top["key"], top["opened"], strict=True))


@pytest.mark.slow
@pytest.mark.skipif(not INTRUSIONS.is_file(), reason=f"the public data set {INTRUSIONS} is not there")
def test_the_intrusion_alerts(db: AlertDatabase, tmp_path: Path) -> None:
    load_alerts(
        db, INTRUSIONS, load_mapping(CHECKOUT / "mappings" / "ids_alerts.yaml"), reject_path=tmp_path / "bad.jsonl"
    )
    publish_rules(db, read_rules(CHECKOUT / "mappings" / "rules" / "ids_alerts.yaml"))
    opened: Counter[date] = Counter()
    keys: Counter[str] = Counter()
    with gzip.open(INTRUSIONS, "rt", newline="") as stream:
        for row in csv.DictReader(stream):
            opened[datetime.fromtimestamp(float(row["time"]), UTC).date()] += 1
            keys[f"{row['short']} / {row['host']}"] += 1
    last, days = max(opened), (max(opened) - min(opened)).days + 1
    report = daily_report(db, last, days=days)
    per_day = report.per_day()
    assert dict(zip(per_day["day"], per_day["opened"], strict=True)) == {
        day.isoformat(): number for day, number in sorted(opened.items())
    }
    assert sum(opened.values()) == 45_544
    assert [one.alerts for one in report.pending] == [45_544]
    top = report.top_keys()
    assert top["opened"].tolist() == [number for _, number in keys.most_common(len(top))]
    assert all(keys[key] == number for key, number in zip(top["key"], top["opened"], strict=True))
