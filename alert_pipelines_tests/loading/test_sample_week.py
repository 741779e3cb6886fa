from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alert_pipelines.alerts import Alert, SourceType
from alert_pipelines.loading import generate_week, insert_week
from alert_pipelines.loading.sample_edge_cases import MALFORMED
from alert_pipelines.loading.sample_story import find_chapters, latest_week, week_id
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan

UNTIL = datetime(2025, 1, 20, 12, tzinfo=UTC)
AWKWARD = 13


@pytest.fixture(scope="module")
def week() -> list[dict[str, Any]]:
    return [alert for alert in generate_week(1, UNTIL) if not alert["alert_id"].startswith("AWKWARD-")]


@pytest.fixture(scope="module")
def awkward() -> dict[str, dict[str, Any]]:
    found = {alert["alert_id"]: alert for alert in generate_week(1, UNTIL, 0)}
    assert all(alert_id.startswith("AWKWARD-") for alert_id in found)
    return found


def closest(week: list[dict[str, Any]], source: SourceType, count: int) -> timedelta:
    """The shortest span in which one driver has `count` alerts of `source`."""
    times: dict[str, list[datetime]] = defaultdict(list)
    for alert in week:
        if alert["source_type"] == source:
            times[alert["metadata"]["driver_id"]].append(alert["timestamp"])
    return min(
        last - first for of_one in times.values() for first, last in zip(of_one, of_one[count - 1 :], strict=False)
    )


def test_the_same_seed_and_end_give_the_same_week() -> None:
    first, again, other = (list(generate_week(seed, UNTIL, 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert list(generate_week(1, UNTIL.replace(tzinfo=None), 200)) == first


def test_it_has_as_many_alerts_as_asked_with_ids_of_their_own(week: list[dict[str, Any]]) -> None:
    assert len({alert["alert_id"] for alert in week}) == len(week) == 4000
    assert week[0]["alert_id"] == "WEEK-20250120-1-00001"


@pytest.mark.parametrize("seed", range(5))
def test_all_sources_are_in_it_and_every_alert_is_of_the_contract(seed: int) -> None:
    week = list(generate_week(seed, UNTIL, 1000))[:1000]
    counted = Counter(alert["source_type"] for alert in week)
    assert set(counted) == {str(source) for source in SourceType}
    assert min(counted.values()) >= 30
    for alert in week:
        assert set(alert) == set(Alert.model_fields)
        Alert.model_validate(alert)
        assert UNTIL - timedelta(days=7) <= alert["timestamp"] <= UNTIL


def test_it_holds_what_the_rules_are_for(week: list[dict[str, Any]]) -> None:
    assert closest(week, SourceType.OVERSPEEDING, 3) < timedelta(hours=1)
    assert closest(week, SourceType.FEEDBACK_NEGATIVE, 2) < timedelta(days=1)
    valid = Counter(
        alert["metadata"].get("document_valid") for alert in week if alert["source_type"] == "DOCUMENT_EXPIRY"
    )
    assert set(valid) == {True, False, None}
    expiries = [alert["expires_at"] for alert in week if alert["expires_at"] is not None]
    assert min(expiries) < UNTIL < max(expiries)


def test_people_have_resolved_some(week: list[dict[str, Any]]) -> None:
    resolved = [alert for alert in week if alert["status"] == "RESOLVED"]
    assert 200 < len(resolved) < 1000
    for alert in resolved:
        [entry] = alert["state_history"]
        assert entry["timestamp"] == alert["resolved_at"] == alert["updated_at"] <= UNTIL
        assert entry["triggered_by"] == alert["resolved_by"]
    assert {alert["status"] for alert in week} == {"OPEN", "RESOLVED"}


def test_drivers_keep_to_their_shifts(week: list[dict[str, Any]]) -> None:
    hours = defaultdict(set)
    for alert in week:
        if alert["source_type"] == "SAFETY":
            hours[alert["metadata"]["driver_id"]].add(alert["timestamp"].hour)
    shifts = [{(start + hour) % 24 for hour in range(8)} for start in (6, 14, 22)]
    assert all(any(of_one <= shift for shift in shifts) for of_one in hours.values())


def test_the_awkward_ones_are_what_their_names_say(awkward: dict[str, dict[str, Any]]) -> None:
    assert len(awkward) == AWKWARD
    assert "metadata" not in awkward["AWKWARD-METADATA-ABSENT"]
    assert awkward["AWKWARD-METADATA-NULL"]["metadata"] is None
    assert isinstance(awkward["AWKWARD-HISTORY-TEXT"]["state_history"], str)
    assert awkward["AWKWARD-HISTORY-TEXT"]["metadata"] == {"document_valid": True}
    assert awkward["AWKWARD-HISTORY-NULL"]["state_history"] is None
    assert "state_history" not in awkward["AWKWARD-HISTORY-ABSENT"]
    assert awkward["AWKWARD-TIMESTAMP-TEXT"]["timestamp"] == "2025-01-18T12:00:00"
    assert awkward["AWKWARD-TIMESTAMP-FUTURE"]["timestamp"] > UNTIL
    assert awkward["AWKWARD-EXPIRES-TEXT"]["expires_at"] == "2025-01-18T12:00:00"
    assert awkward["AWKWARD-SOURCE-UNKNOWN"]["source_type"] not in set(SourceType)
    assert awkward["AWKWARD-EXTRA-FIELDS"]["tenant"] == "north"
    assert awkward["AWKWARD-VALID-TEXT"]["metadata"]["document_valid"] == "true"
    assert awkward["AWKWARD-DRIVER-NULL"]["metadata"] == {"driver_id": None}
    assert isinstance(awkward["AWKWARD-DRIVER-LIST"]["metadata"]["driver_id"], list)


def test_a_week_of_a_negative_seed_was_not_found_again(db: AlertDatabase) -> None:
    insert_week(db, -1, UNTIL, 100)
    assert latest_week(db, -1) == week_id(-1, UNTIL)
    assert len(find_chapters(db, week_id(-1, UNTIL))) == 3


def test_the_week_told_no_story_that_its_rules_decide(db: AlertDatabase) -> None:
    for until in (UNTIL - timedelta(days=7), UNTIL):
        insert_week(db, 1, until, 300)
    assert latest_week(db, 1) == week_id(1, UNTIL)
    assert latest_week(db, 2) is None
    assert [chapter.now for chapter in find_chapters(db, week_id(1, UNTIL))] == ["3 OPEN", "24 OPEN", "3 OPEN"]
    publish_rules(db, default_rules())
    run_scan(db, ScanRequest(as_of=UNTIL, allow_over_limit=("scan",)))
    assert [tuple(chapter) for chapter in find_chapters(db, week_id(1, UNTIL))] == [
        (
            "Tue 14 Jan",
            "Truck VEH-217, depot Hamburg: roadworthiness renewed",
            "3 AUTO_CLOSED by document-reminders and document-renewed",
        ),
        (
            "Fri 17 Jan",
            "Storm at depot Bremen: 12 drivers brake hard and swerve",
            "12 OPEN, 12 ESCALATED by safety",
        ),
        (
            "Sun 19 Jan",
            "Truck VEH-204, depot Leipzig: three hours late",
            "1 OPEN, 2 ESCALATED by feedback_negative",
        ),
    ]


def test_the_alerts_that_are_malformed_on_purpose_were_not_named(db: AlertDatabase) -> None:
    insert_week(db, 1, UNTIL, 300)
    publish_rules(db, default_rules())
    report = run_scan(db, ScanRequest(as_of=UNTIL, allow_over_limit=("scan",)))
    assert sorted(str(error).split("'")[1] for error in report.errors) == sorted(MALFORMED)


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_the_story_lies_within_the_week(hour: int) -> None:
    until = UNTIL.replace(hour=hour)
    week = [alert for alert in generate_week(1, until, 60) if not alert["alert_id"].startswith("AWKWARD-")]
    assert all(until - timedelta(days=7) <= alert["timestamp"] <= until for alert in week)
    assert [alert["timestamp"] for alert in week] == sorted(alert["timestamp"] for alert in week)
    assert len([alert for alert in week if "-STORM-" in alert["alert_id"]]) == 24


def test_a_week_inserted_twice_is_there_once(db: AlertDatabase) -> None:
    first = insert_week(db, 1, UNTIL, 300)
    assert (first.inserted, first.already_there, first.refused) == (300 + AWKWARD, 0, [])
    db.alerts.update_one({"alert_id": "AWKWARD-HISTORY-TEXT"}, {"$set": {"status": "RESOLVED"}})
    later_that_day = UNTIL + timedelta(hours=3)
    for until in (UNTIL, later_that_day):
        again = insert_week(db, 1, until, 300)
        assert (again.inserted, again.already_there) == (0, 300 + AWKWARD)
    assert db.alerts.count_documents({"alert_id": "AWKWARD-HISTORY-TEXT", "status": "RESOLVED"}) == 1


def test_a_bare_database_gets_its_indexes(bare_db: AlertDatabase) -> None:
    insert_week(bare_db, 1, UNTIL, 1)
    assert "alert_id_unique" in bare_db.alerts.index_information()
