"""The story of a generated week: a storm, a late truck, a renewed document, and the present state of their alerts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

from alert_pipelines.alerts import COLLECTION, Severity, SourceType
from alert_pipelines.loading.documents import new_alert
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door

_STORM, _LATE, _RENEWED = "STORM", "LATE", "RENEWED"
_WHAT = {
    _RENEWED: "Truck VEH-217, depot Hamburg: roadworthiness renewed",
    _STORM: "Storm at depot Bremen: 12 drivers brake hard and swerve",
    _LATE: "Truck VEH-204, depot Leipzig: three hours late",
}
_STORM_DRIVERS = 12


class Chapter(NamedTuple):
    """A part of the story: its first day, what happened, and the present state of its alerts."""

    day: str
    what: str
    now: str


def week_id(seed: int, until: datetime) -> str:
    """Return the prefix of the ids of the week's alerts."""
    return f"WEEK-{until:%Y%m%d}-{seed}"


def story_alerts(week: str, until: datetime) -> Iterator[AlertDocument]:
    """Yield the story's alerts, oldest first, on days before that of `until`, in UTC."""
    midnight = datetime.combine(until, time.min, until.tzinfo)
    drafts = (
        *_renewed(midnight - timedelta(days=6)),
        *_storm(midnight - timedelta(days=3)),
        *_late(midnight - timedelta(days=1)),
    )
    numbers = Counter[str]()
    for name, source, timestamp, metadata in sorted(drafts, key=lambda draft: draft[2]):
        numbers[name] += 1
        yield new_alert(
            f"{week}-{name}-{numbers[name]:02d}",
            source_type=source,
            severity=Severity.WARNING,
            timestamp=timestamp,
            metadata=metadata,
        )


@at_the_door
def find_chapters(db: AlertDatabase, week: str) -> list[Chapter]:
    """Return the story of `week` with the present state of its alerts; parts without alerts are left out."""
    chapters = []
    for name, what in _WHAT.items():
        found = list(db[COLLECTION].find({"alert_id": {"$regex": f"^{week}-{name}-"}}).sort("timestamp"))
        if found:
            chapters.append(Chapter(f"{found[0]['timestamp']:%a %d %b}", what, _by_status(found)))
    return chapters


@at_the_door
def latest_week(db: AlertDatabase, seed: int) -> str | None:
    """Return the latest week of this seed that is in the collection."""
    newest = db[COLLECTION].find_one({"alert_id": {"$regex": f"^WEEK-[0-9]{{8}}-{seed}-"}}, sort=[("alert_id", -1)])
    return None if newest is None else newest["alert_id"][: len(f"WEEK-YYYYMMDD-{seed}")]


_Draft = tuple[str, SourceType, datetime, dict[str, Any]]


def _renewed(day: datetime) -> Iterator[_Draft]:
    """Three reminders, one every other day; at the last one, the document is valid again."""
    document = {"vehicle_id": "VEH-217", "document_type": "roadworthiness", "location": "Depot Hamburg"}
    expiry = day + timedelta(days=10)
    for reminder in range(3):
        metadata = {**document, "expiry_date": expiry, "document_valid": reminder == 2}
        yield _RENEWED, SourceType.DOCUMENT_EXPIRY, day + timedelta(days=2 * reminder, hours=9), metadata


def _storm(day: datetime) -> Iterator[_Draft]:
    """Two events of each driver between three and six in the afternoon."""
    for driver in range(_STORM_DRIVERS):
        who = {"driver_id": f"DRV-{221 + driver}", "vehicle_id": f"VEH-{221 + driver}", "location": "Depot Bremen"}
        for event, minutes in (("harsh_braking", 0), ("lane_departure", 85)):
            metadata = {**who, "event_count": 1, "additional_data": {"event": event, "weather": "storm"}}
            yield _STORM, SourceType.SAFETY, day + timedelta(hours=15, minutes=minutes + 7 * driver), metadata


def _late(day: datetime) -> Iterator[_Draft]:
    """Three customers of one tour."""
    who = {"driver_id": "DRV-204", "vehicle_id": "VEH-204", "location": "Depot Leipzig", "feedback_rating": 1}
    for hour, comment in ((11, "late by an hour"), (14, "late by two hours"), (17, "late by three hours")):
        metadata = {**who, "feedback_comment": comment}
        yield _LATE, SourceType.FEEDBACK_NEGATIVE, day + timedelta(hours=hour), metadata


def _by_status(alerts: Sequence[AlertDocument]) -> str:
    """How many alerts have which status, by which rules."""
    numbers = Counter(alert["status"] for alert in alerts)
    rules: dict[str, dict[str, None]] = {status: {} for status in numbers}
    for alert in alerts:
        if alert["state_history"] and (rule := alert["state_history"][-1]["rule_triggered"]):
            rules[alert["status"]][rule] = None
    return ", ".join(
        f"{number} {status}{' by ' if rules[status] else ''}{' and '.join(rules[status])}"
        for status, number in numbers.items()
    )
