"""Generates a week of fleet alerts for trials: all six sources, a story, and edge cases.

The same seed and end give the same alerts.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from alert_pipelines.alerts import Severity, SourceType, Status, ensure_indexes
from alert_pipelines.loading.documents import new_alert
from alert_pipelines.loading.insert import BATCH_SIZE, Inserted, insert_new
from alert_pipelines.loading.sample_edge_cases import edge_case_alerts
from alert_pipelines.loading.sample_story import story_alerts, week_id
from alert_pipelines.loading.update import find_stored
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door

_WEEK = timedelta(days=7)
_DRIVERS = 150
_SHIFT_STARTS = (6, 14, 22)
_SHIFT_HOURS = 8
_PLACES = ("A1 km 112", "A2 km 38", "Harbour tunnel", "Depot Bremen", "Depot Hamburg", "Depot Leipzig")
_DOCUMENTS = ("driving_licence", "vehicle_insurance", "roadworthiness", "medical_certificate", "permit")
_COMPLAINTS = ("late by an hour", "rude on the phone", "braked hard all the way", "parcel left in the rain")
_PRAISE = ("on time", "very careful driver", "friendly and quick")
_SAFETY_EVENTS = ("harsh_braking", "lane_departure", "fatigue", "seat_belt", "collision_warning")

# A resolution or an expiry is drawn with these chances.
_RESOLVED_BY_A_PERSON = 0.12
_HAS_EXPIRY = 0.15


class _Driver(NamedTuple):
    driver_id: str
    vehicle_id: str
    shift_start: int


class _Draft(NamedTuple):
    source: SourceType
    severity: Severity
    timestamp: datetime
    metadata: dict[str, Any]


_Episode = Callable[[Random, _Driver, datetime], Iterator[_Draft]]


def generate_week(seed: int, until: datetime, count: int = 4000) -> Iterator[AlertDocument]:
    """Yield `count` alerts of the week that ends at `until` (UTC if naive), oldest first, then the edge cases.

    Ids contain the seed and the day of `until`, so a week that is generated twice is inserted once. Ids of the story
    name its part (WEEK-20250120-1-STORM-01), ids of the edge cases name the fault (AWKWARD-HISTORY-TEXT).
    """
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until.astimezone(UTC)
    week = week_id(seed, until)
    story = list(itertools.islice(story_alerts(week, until), count))
    random = Random(f"{seed} {until.isoformat()}")
    drafts = sorted(itertools.islice(_drafts(random, until), count - len(story)), key=lambda draft: draft.timestamp)
    others = (_finished(random, f"{week}-{number:05d}", draft, until) for number, draft in enumerate(drafts, start=1))
    yield from heapq.merge(story, others, key=lambda alert: alert["timestamp"])
    yield from edge_case_alerts(until)


@at_the_door
def insert_week(db: AlertDatabase, seed: int, until: datetime, count: int = 4000) -> Inserted:
    """Insert a generated week of alerts. Existing alerts are not changed, but counted.

    Raises IndexConflictError if the collection cannot be indexed, pymongo.errors.PyMongoError if the database fails.
    """
    ensure_indexes(db)
    total = Inserted(0, 0, [])
    week = generate_week(seed, until, count)
    while batch := list(itertools.islice(week, BATCH_SIZE)):
        there = find_stored(db, [alert["alert_id"] for alert in batch])
        done = insert_new(db, [alert for alert in batch if alert["alert_id"] not in there])
        total = Inserted(
            total.inserted + done.inserted,
            total.already_there + len(there) + done.already_there,
            total.refused + done.refused,
        )
    return total


def _drafts(random: Random, until: datetime) -> Iterator[_Draft]:
    drivers = [
        _Driver(f"DRV-{number:03d}", f"VEH-{random.randrange(1, 111):03d}", random.choice(_SHIFT_STARTS))
        for number in range(1, _DRIVERS + 1)
    ]
    while True:
        [episode] = random.choices(list(_EPISODES), list(_EPISODES.values()))
        driver = random.choice(drivers)
        start = _moment_of_shift(random, driver, until)
        yield from (draft for draft in episode(random, driver, start) if draft.timestamp <= until)


def _moment_of_shift(random: Random, driver: _Driver, until: datetime) -> datetime:
    while True:
        moment = until - _WEEK * random.random()
        if (moment.hour - driver.shift_start) % 24 < _SHIFT_HOURS:
            return moment.replace(microsecond=0)


def _speeding(random: Random, driver: _Driver, start: datetime) -> Iterator[_Draft]:
    """One event of most drivers, several of one in six, for rules that count in a window."""
    limit = random.choice((50, 80, 100))
    moment = start
    for _ in range(random.randint(3, 6) if random.random() < 1 / 6 else 1):
        speed = limit + random.randint(6, 45)
        metadata = {**_on_the_road(random, driver), "speed": speed, "speed_limit": limit}
        severity = Severity.CRITICAL if speed > limit + 35 else Severity.WARNING
        yield _Draft(SourceType.OVERSPEEDING, severity, moment, metadata)
        moment += timedelta(seconds=random.randint(60, 900))


def _document(random: Random, driver: _Driver, start: datetime) -> Iterator[_Draft]:
    """A document that expires soon; for some it is known whether it was renewed."""
    source = random.choice((SourceType.COMPLIANCE, SourceType.DOCUMENT_EXPIRY))
    metadata = {
        "driver_id": driver.driver_id,
        "vehicle_id": driver.vehicle_id,
        "document_type": random.choice(_DOCUMENTS),
        "expiry_date": start + timedelta(days=random.randint(-10, 30)),
    }
    renewed = random.choice((True, True, False, None))
    if renewed is not None:
        metadata["document_valid"] = renewed
    yield _Draft(source, random.choice((Severity.INFO, Severity.WARNING)), start, metadata)


def _bad_feedback(random: Random, driver: _Driver, start: datetime) -> Iterator[_Draft]:
    """One complaint, or two about the same driver within a day."""
    moment = start
    for _ in range(2 if random.random() < 0.25 else 1):
        metadata = {
            "driver_id": driver.driver_id,
            "feedback_rating": random.randint(1, 2),
            "feedback_comment": random.choice(_COMPLAINTS),
        }
        yield _Draft(SourceType.FEEDBACK_NEGATIVE, Severity.WARNING, moment, metadata)
        moment += timedelta(minutes=random.randint(30, 20 * 60))


def _praise(random: Random, driver: _Driver, start: datetime) -> Iterator[_Draft]:
    metadata = {
        "driver_id": driver.driver_id,
        "feedback_rating": random.randint(4, 5),
        "feedback_comment": random.choice(_PRAISE),
    }
    yield _Draft(SourceType.FEEDBACK_POSITIVE, Severity.INFO, start, metadata)


def _safety(random: Random, driver: _Driver, start: datetime) -> Iterator[_Draft]:
    event = random.choice(_SAFETY_EVENTS)
    metadata = {
        **_on_the_road(random, driver),
        "event_count": random.randint(1, 4),
        "additional_data": {"event": event},
    }
    severity = Severity.CRITICAL if event == "collision_warning" else Severity.WARNING
    yield _Draft(SourceType.SAFETY, severity, start, metadata)


# Each kind of episode with its weight.
_EPISODES: dict[_Episode, int] = {_speeding: 26, _document: 24, _bad_feedback: 14, _praise: 18, _safety: 18}


def _on_the_road(random: Random, driver: _Driver) -> dict[str, Any]:
    return {"driver_id": driver.driver_id, "vehicle_id": driver.vehicle_id, "location": random.choice(_PLACES)}


def _finished(random: Random, alert_id: str, draft: _Draft, until: datetime) -> AlertDocument:
    expires_at = None
    if random.random() < _HAS_EXPIRY:
        expires_at = draft.timestamp + timedelta(hours=random.randint(12, 240))
    alert = new_alert(
        alert_id,
        source_type=draft.source,
        severity=draft.severity,
        timestamp=draft.timestamp,
        metadata=draft.metadata,
        expires_at=expires_at,
    )
    resolved_at = draft.timestamp + timedelta(minutes=random.randint(5, 600))
    if random.random() < _RESOLVED_BY_A_PERSON and resolved_at <= until:
        _resolve(alert, resolved_at, f"dispatcher-{random.randint(1, 5)}")
    return alert


def _resolve(alert: AlertDocument, at: datetime, person: str) -> None:
    entry = {
        "from_status": str(Status.OPEN),
        "to_status": str(Status.RESOLVED),
        "timestamp": at,
        "reason": "Talked to the driver",
        "triggered_by": person,
        "rule_triggered": None,
    }
    alert.update(
        status=str(Status.RESOLVED),
        state_history=[entry],
        resolved_at=at,
        resolved_by=person,
        resolution_notes="Talked to the driver",
        updated_at=at,
    )
