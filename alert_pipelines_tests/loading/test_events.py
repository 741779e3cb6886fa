from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alert_pipelines.alerts import Status
from alert_pipelines.loading.events import AlertState, Event

START = datetime(2025, 1, 1, tzinfo=UTC)


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def after(*statuses: str) -> dict[str, Any]:
    """A plain WARNING alert after one event an hour."""
    standing = AlertState(START)
    for hour, status in enumerate(statuses):
        standing.apply(Event(at(hour), Status(status), status.title(), f"user-{hour}"))
    return standing.of({"severity": "WARNING", "closed_at": None, "resolved_at": None, "escalated_at": None})


def steps(alert: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["from_status"], entry["to_status"]) for entry in alert["state_history"]]


def test_an_update_without_a_change_leaves_no_entry_but_its_time() -> None:
    alert = after("OPEN", "OPEN", "OPEN")
    assert alert["state_history"] == []
    assert (alert["status"], alert["created_at"], alert["updated_at"]) == ("OPEN", START, at(2))


def test_a_change_leaves_an_entry_with_the_fields_of_the_contract() -> None:
    assert after("OPEN", "AUTO_CLOSED")["state_history"] == [
        {
            "from_status": "OPEN",
            "to_status": "AUTO_CLOSED",
            "timestamp": at(1),
            "reason": "state Auto_Closed",
            "triggered_by": "user-1",
            "rule_triggered": None,
        }
    ]


def test_each_status_sets_its_own_fields() -> None:
    escalated = after("OPEN", "ESCALATED")
    assert (escalated["escalated_at"], escalated["severity"]) == (at(1), "CRITICAL")
    closed = after("OPEN", "AUTO_CLOSED", "AUTO_CLOSED")
    assert (closed["closed_at"], closed["auto_close_reason"]) == (at(1), "state Auto_Closed")
    resolved = after("OPEN", "ESCALATED", "RESOLVED")
    assert (resolved["resolved_at"], resolved["resolved_by"]) == (at(2), "user-2")
    assert (resolved["escalated_at"], resolved["severity"]) == (at(1), "CRITICAL")


def test_a_first_state_other_than_open_is_a_change_from_open() -> None:
    assert steps(after("RESOLVED")) == [("OPEN", "RESOLVED")]


def test_reopening_is_told_and_takes_the_closing_back() -> None:
    alert = after("OPEN", "ESCALATED", "AUTO_CLOSED", "OPEN")
    assert steps(alert) == [("OPEN", "ESCALATED"), ("ESCALATED", "AUTO_CLOSED"), ("AUTO_CLOSED", "OPEN")]
    assert (alert["status"], alert["severity"]) == ("OPEN", "WARNING")
    assert (alert["closed_at"], alert["escalated_at"], alert["auto_close_reason"]) == (None, None, None)


@pytest.mark.parametrize(
    ("statuses", "status"),
    [(("RESOLVED", "AUTO_CLOSED"), "RESOLVED"), (("ESCALATED", "OPEN"), "ESCALATED")],
)
def test_a_step_that_the_contract_does_not_know_changes_nothing(statuses: tuple[str, ...], status: str) -> None:
    alert = after(*statuses)
    assert alert["status"] == status
    assert len(alert["state_history"]) == 1
    assert alert["updated_at"] == at(1)
