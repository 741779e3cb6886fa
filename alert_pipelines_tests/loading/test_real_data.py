"""The public data sets whole, where they are at hand beside the checkout."""

import csv
import functools
import gzip
import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.loading import load_alerts, load_mapping
from alert_pipelines.mongo import AlertDatabase

CHECKOUT = Path(__file__).parents[2]
DATA = CHECKOUT.parent / "shared" / "data"
INCIDENTS = DATA / "servicenow_incidents" / "incident_event_log.csv.gz"
INTRUSIONS = DATA / "ids_alerts"
UNTIL = datetime(2016, 6, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the public data sets are not in {DATA}")


def dates(value: Any) -> Iterator[datetime]:
    if isinstance(value, datetime):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from dates(inner)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "alerts", "distinct"),
    [("russellmitchell_alerts", 45_544, 9_984), ("shaw_alerts", 70_782, 18_242)],
)
def test_every_intrusion_alert_is_loaded_once(
    db: AlertDatabase, tmp_path: Path, name: str, alerts: int, distinct: int
) -> None:
    mapping = load_mapping(CHECKOUT / "mappings" / "ids_alerts.yaml")
    path = INTRUSIONS / f"{name}.csv.gz"
    report = load_alerts(db, path, mapping, reject_path=tmp_path / "bad.jsonl")
    assert (report.rows_read, report.alerts_inserted, report.rows_rejected) == (alerts, alerts, 0)
    assert db.alerts.count_documents({"status": "OPEN", "source_type": "INTRUSION"}) == alerts
    assert db.alerts.count_documents({"alert_id": {"$regex": "-1$"}}) == distinct
    again = load_alerts(db, path, mapping)
    assert (again.alerts_inserted, again.alerts_already_there) == (0, alerts)


@pytest.mark.slow
def test_all_incidents_loaded_whole_are_closed(db: AlertDatabase, tmp_path: Path) -> None:
    mapping = load_mapping(CHECKOUT / "mappings" / "servicenow_incidents.yaml")
    report = load_alerts(db, INCIDENTS, mapping, reject_path=tmp_path / "bad.jsonl")
    assert (report.rows_read, report.alerts_inserted, report.rows_rejected) == (141_712, 24_918, 0)
    assert db.alerts.count_documents({"status": "AUTO_CLOSED"}) == 24_918


@pytest.mark.slow
def test_incidents_loaded_until_an_instant_know_nothing_later(db: AlertDatabase, tmp_path: Path) -> None:
    mapping = load_mapping(CHECKOUT / "mappings" / "servicenow_incidents.yaml")
    report = load_alerts(db, INCIDENTS, mapping, until=UNTIL, reject_path=tmp_path / "bad.jsonl")
    loaded = {alert["alert_id"]: alert for alert in db.alerts.find()}
    assert max(instant for alert in loaded.values() for instant in dates(alert)) <= UNTIL
    assert report.alerts_inserted == len(loaded)

    expected = standing_until()
    assert {alert_id: standing(alert) for alert_id, alert in loaded.items()} == expected
    reopened = [alert for alert in loaded.values() if "OPEN" in changes(alert)]
    assert len(reopened) == 7
    assert {changes(alert)[-1] for alert in reopened} == {"OPEN", "AUTO_CLOSED"}
    assert all(alert["closed_at"] is None for alert in reopened if alert["status"] == "OPEN")
    assert db.alerts.count_documents({"status": "OPEN", "metadata.incident_state": "Resolved"}) == 857


def changes(alert: dict[str, Any]) -> list[str]:
    return [entry["to_status"] for entry in alert["state_history"]]


def standing(alert: dict[str, Any]) -> tuple[str, datetime, tuple[str, ...], Any]:
    metadata = alert["metadata"]
    return metadata["incident_state"], alert["updated_at"], tuple(changes(alert)), metadata.get("assigned_to")


@functools.cache
def minute(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=UTC)


def standing_until() -> dict[str, tuple[str, datetime, tuple[str, ...], Any]]:
    """The same, worked out from the file in the plainest way."""
    updates = defaultdict(list)
    with gzip.open(INCIDENTS, "rt", newline="") as stream:
        for row in csv.DictReader(stream):
            time = minute(row["sys_updated_at"])
            if time <= UNTIL and minute(row["opened_at"]) <= UNTIL:
                updates[row["number"]].append((time, row["incident_state"], row["assigned_to"]))
    found = {}
    for number, rows in updates.items():
        rows.sort(key=lambda row: row[0])
        closed = [False, *(state == "Closed" for _, state, _ in rows)]
        steps = [now for before, now in itertools.pairwise(closed) if before != now]
        time, state, owner = rows[-1]
        statuses = tuple("AUTO_CLOSED" if step else "OPEN" for step in steps)
        found[number] = (state, time, statuses, None if owner == "?" else owner)
    return found
