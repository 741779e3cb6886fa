"""The alert's document and its indexes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import ASCENDING

from alert_pipelines import alerts
from alert_pipelines.alerts import PENDING, TRANSITIONS, Alert, Status, ensure_indexes, tally_decisions
from alert_pipelines.errors import DuplicateKeyValuesError, IndexConflictError
from alert_pipelines.mongo import AlertDatabase

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def service_document() -> dict[str, Any]:
    """An alert as the FastAPI service writes it, with a field of its own that this project does not know."""
    return {
        "alert_id": "ALT-1",
        "source_type": "OVERSPEEDING",
        "severity": "WARNING",
        "status": "OPEN",
        "timestamp": NOW,
        "metadata": {"driver_id": "D1", "speed": 88.5, "speed_limit": 80, "additional_data": {"trip": 7}, "odo": 1},
        "state_history": [
            {
                "from_status": None,
                "to_status": "OPEN",
                "timestamp": NOW,
                "reason": "created",
                "triggered_by": "system",
                "rule_triggered": None,
                "shard": 3,
            }
        ],
        "escalated_at": None,
        "expires_at": NOW + timedelta(days=1),
        "resolved_by": None,
        "created_at": NOW,
        "updated_at": NOW,
        "tenant": "north",
    }


def test_a_document_of_the_service_loads_and_comes_back_unchanged(db: AlertDatabase) -> None:
    db.alerts.insert_one(service_document())
    stored = db.alerts.find_one({}, {"_id": 0})
    assert stored is not None
    assert Alert.model_validate(stored).to_document() == stored == service_document()


@pytest.mark.parametrize("absent", ["metadata", "state_history", "severity", "updated_at"])
def test_an_alert_without_an_optional_field_loads(absent: str) -> None:
    document = service_document()
    del document[absent]
    assert Alert.model_validate(document).to_document() == document


def test_a_naive_time_is_kept_as_it_is() -> None:
    document = service_document() | {"timestamp": NOW.replace(tzinfo=None)}
    assert Alert.model_validate(document).to_document() == document


@pytest.mark.parametrize(
    "metadata",
    [
        {"document_valid": "true", "speed": "45", "driver_id": 7},
        {"document_valid": 1, "feedback_rating": 4.0, "event_count": 2},
        {"expiry_date": "2026-01-01", "location": {"lat": 1.5}, "additional_data": [1, "x"]},
    ],
)
def test_values_of_another_kind_are_kept_as_they_are(metadata: dict[str, Any]) -> None:
    document = service_document() | {"metadata": metadata, "timestamp": "yesterday", "state_history": "none"}
    loaded = Alert.model_validate(document).to_document()
    assert loaded == document
    kinds = {name: type(value) for name, value in loaded["metadata"].items()}
    assert kinds == {name: type(value) for name, value in metadata.items()}


def test_only_pending_alerts_have_transitions() -> None:
    assert {status for status, targets in TRANSITIONS.items() if targets} == set(PENDING)
    assert Status.OPEN not in TRANSITIONS[Status.ESCALATED]


def test_indexes_are_made_once_and_by_name(bare_db: AlertDatabase) -> None:
    assert ensure_indexes(bare_db) == [index.document["name"] for index in alerts.INDEXES]
    assert ensure_indexes(bare_db) == []


def test_an_alert_without_an_expiry_and_one_that_is_closed_take_no_room_in_its_index(bare_db: AlertDatabase) -> None:
    ensure_indexes(bare_db)
    expires = {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}
    bare_db.alerts.insert_many(
        [
            {"alert_id": "1", "status": "OPEN"},
            {"alert_id": "2", "status": "OPEN", **expires},
            {"alert_id": "3", "status": "AUTO_CLOSED", **expires},
        ]
    )
    assert bare_db.command("validate", "alerts")["keysPerIndex"]["pending_with_expiry"] == 1


def test_an_index_of_the_service_over_the_same_keys_is_taken_as_it_is(bare_db: AlertDatabase) -> None:
    bare_db.alerts.create_index([("alert_id", ASCENDING)], unique=True)
    assert "alert_id_unique" not in ensure_indexes(bare_db)


def test_a_name_taken_by_another_index_is_named(bare_db: AlertDatabase) -> None:
    bare_db.alerts.create_index([("severity", ASCENDING)], name="by_source")
    with pytest.raises(IndexConflictError, match="'by_source'"):
        ensure_indexes(bare_db)


def test_duplicate_alert_ids_are_named_and_keep_no_other_index_from_being_made(bare_db: AlertDatabase) -> None:
    bare_db.alerts.insert_many([{"alert_id": "TWICE"}, {"alert_id": "TWICE"}])
    with pytest.raises(DuplicateKeyValuesError, match=r"'alerts' .* alert_id 'TWICE' .* 'alert_id_unique'"):
        ensure_indexes(bare_db)
    wanted = {index.document["name"] for index in alerts.INDEXES}
    assert wanted - set(bare_db.alerts.index_information()) == {"alert_id_unique"}


def test_decisions_are_counted_from_histories_also_where_one_is_no_array(db: AlertDatabase) -> None:
    entry = {"job_id": "J", "triggered_by": "system", "rule_triggered": "r", "to_status": "AUTO_CLOSED"}
    db.alerts.insert_many(
        [
            {
                "alert_id": "1",
                "source_type": "SAFETY",
                "state_history": [entry, {"triggered_by": "undo", "job_id": "U"}],
            },
            {"alert_id": "2", "source_type": "SAFETY", "state_history": [entry]},
            {"alert_id": "3", "source_type": "SAFETY", "state_history": entry},
            {"alert_id": "4", "source_type": "SAFETY", "state_history": [entry | {"job_id": "other"}]},
        ]
    )
    assert tally_decisions(db, "J") == [("r", "SAFETY", Status.AUTO_CLOSED, 2, 0)]
