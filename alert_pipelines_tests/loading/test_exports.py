"""Small files in the layouts that people export, each loaded by a mapping of a few lines, with its right values."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alert_pipelines.alerts import Alert
from alert_pipelines.loading import load_alerts
from alert_pipelines.mongo import AlertDatabase

from .mappings import from_yaml

FILES = Path(__file__).parent / "files"
INCIDENTS = """
    format: csv
    alert_id: {column: id}
    source_type: {constant: PAGERDUTY}
    severity: {column: urgency, map: {high: CRITICAL, low: WARNING}}
    timestamp: {column: created_on}
    status: {column: status, map: {resolved: RESOLVED, acknowledged: OPEN, triggered: OPEN}}
    resolved_at: {column: resolved_on}
    updated_at: {column: last_change}
    metadata:
      acknowledged: {column: status, type: bool, map: {acknowledged: "true"}, otherwise: "false"}
"""
WEBHOOK = """
    format: json
    rows: alerts
    alert_id: {column: fingerprint}
    source_type: {column: labels.alertname}
    severity: {column: labels.severity, map: {critical: CRITICAL, warning: WARNING}, default: INFO}
    timestamp: {column: startsAt}
    status: {column: status, map: {firing: OPEN, resolved: RESOLVED}}
    resolved_at: {column: endsAt}
    metadata:
      app: {column: [labels, app.kubernetes.io/name]}
"""
OPSGENIE = """
    format: jsonl
    alert_id: {column: id}
    source_type: {constant: OPSGENIE}
    severity: {column: priority, map: {P1: CRITICAL, P2: CRITICAL, P3: WARNING}, otherwise: INFO}
    timestamp: {column: createdAt}
    status: {column: status, map: {open: OPEN, closed: RESOLVED}}
    updated_at: {column: lastOccurredAt}
    metadata:
      tags: {column: tags, type: list}
      snoozed_until: {column: snoozedUntil, type: date}
      owner: {column: owner}
"""
ZABBIX = """
    format: jsonl
    dates: {format: epoch_s}
    alert_id: {coalesce: [p_eventid, eventid]}
    source_type: {constant: ZABBIX}
    severity: {column: severity, map: {5: CRITICAL, 4: CRITICAL, 3: WARNING}, otherwise: INFO}
    timestamp: first
    metadata:
      host: {column: hosts.0.host}
      groups: {column: groups, type: list}
    events: {time: {column: clock}, state: value, states: {1: OPEN, 0: RESOLVED}}
"""
ELASTIC = """
    format: jsonl
    alert_id: {column: _id}
    source_type: {column: [_source, kibana.alert.rule.name]}
    severity: {column: [_source, kibana.alert.severity], map: {critical: CRITICAL}, default: WARNING}
    timestamp: {column: [_source, kibana.alert.start]}
    status: {column: [_source, kibana.alert.status], map: {active: OPEN, recovered: RESOLVED}}
    metadata: {host: {column: _source.host.name}}
"""
LOG = """
    format: csv
    alert_id: {column: id}
    source_type: {constant: PROBE}
    severity: {constant: WARNING}
    timestamp: first
    events: {time: {column: at}, state: state, states: {ok: RESOLVED, OK: RESOLVED, alerting: OPEN, ALARM: OPEN}}
"""


def loaded(db: AlertDatabase, directory: Path, name: str, declared: str) -> dict[str, dict[str, Any]]:
    report = load_alerts(db, FILES / name, from_yaml(directory, declared))
    assert report.rows_rejected == 0, report.reject_reasons
    alerts = {alert["alert_id"]: alert for alert in db.alerts.find()}
    for alert in alerts.values():
        Alert.model_validate(alert)
    return alerts


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, tzinfo=UTC)


def test_incidents_were_dated_by_their_last_change(db: AlertDatabase, tmp_path: Path) -> None:
    alerts = loaded(db, tmp_path, "pagerduty_incidents.csv", INCIDENTS)
    assert {name: alert["status"] for name, alert in alerts.items()} == {"P1": "RESOLVED", "P2": "OPEN", "P3": "OPEN"}
    assert {name: alert["timestamp"] for name, alert in alerts.items()} == {"P1": at(9), "P2": at(10), "P3": at(11)}
    assert all(alert["created_at"] == alert["timestamp"] for alert in alerts.values())
    p1 = alerts["P1"]
    assert (p1["resolved_at"], p1["updated_at"], alerts["P2"]["updated_at"]) == (at(9, 45), at(9, 45), at(10, 5))
    (entry,) = p1["state_history"]
    assert (entry["from_status"], entry["to_status"], entry["timestamp"]) == ("OPEN", "RESOLVED", at(9, 45))
    assert [alerts[name]["metadata"]["acknowledged"] for name in ("P1", "P2", "P3")] == [False, True, False]


def test_a_webhook_that_says_year_1_was_an_end_long_ago(db: AlertDatabase, tmp_path: Path) -> None:
    alerts = loaded(db, tmp_path, "alertmanager_webhook.json", WEBHOOK + "    expires_at: {column: endsAt}\n")
    aa11, bb22, cc33 = (alerts[name] for name in ("aa11", "bb22", "cc33"))
    assert (aa11["status"], aa11["severity"], aa11["expires_at"]) == ("OPEN", "CRITICAL", None)
    assert aa11["metadata"] == {"app": "telemetry"}
    assert (bb22["status"], bb22["resolved_at"], bb22["updated_at"]) == ("RESOLVED", at(7, 40), at(7, 40))
    assert (cc33["status"], cc33["severity"], cc33["resolved_at"]) == ("OPEN", "INFO", None)


def test_a_list_of_tags_rejected_its_alert(db: AlertDatabase, tmp_path: Path) -> None:
    alerts = loaded(db, tmp_path, "opsgenie_alerts.jsonl", OPSGENIE)
    assert (alerts["og1"]["status"], alerts["og2"]["status"]) == ("OPEN", "RESOLVED")
    assert alerts["og1"]["metadata"] == {
        "tags": ["cold", "eu"],
        "snoozed_until": datetime(2026, 11, 30, 6, tzinfo=UTC),
    }
    assert alerts["og1"]["updated_at"] == at(9)


def test_a_recovery_that_names_its_problem_in_another_column_was_an_alert_itself(
    db: AlertDatabase, tmp_path: Path
) -> None:
    alerts = loaded(db, tmp_path, "zabbix_events.ndjson", ZABBIX)
    assert list(alerts) == ["501"]
    problem = alerts["501"]
    assert (problem["status"], problem["severity"]) == ("RESOLVED", "CRITICAL")
    assert problem["resolved_at"] - problem["timestamp"] == timedelta(seconds=600)
    assert problem["metadata"] == {"host": "gw-3", "groups": ["depot"]}


def test_a_key_with_dots_below_another_could_not_be_named(db: AlertDatabase, tmp_path: Path) -> None:
    (alert,) = loaded(db, tmp_path, "elastic_hits.jsonl", ELASTIC).values()
    assert alert["timestamp"] == datetime(2026, 11, 20, 10, 0, 0, 123_000, tzinfo=UTC)
    assert (alert["source_type"], alert["metadata"], alert["status"]) == ("cpu", {"host": "h1"}, "OPEN")


def test_a_later_row_had_to_repeat_the_severity(db: AlertDatabase, tmp_path: Path) -> None:
    declared = LOG.replace("{constant: WARNING}", "{column: sev, map: {high: CRITICAL}}")
    (alert,) = loaded(db, tmp_path, "resolution_without_severity.csv", declared).values()
    assert (alert["status"], alert["severity"], alert["resolved_at"]) == ("RESOLVED", "CRITICAL", at(11))
    assert alert["timestamp"] == at(10)


def test_a_probe_that_never_fired_was_an_alert(db: AlertDatabase, tmp_path: Path) -> None:
    report = load_alerts(db, FILES / "ok_before_any_alert.csv", from_yaml(tmp_path, LOG))
    assert (report.alerts_inserted, report.never_fired, report.rows_rejected) == (1, 1, 0)
    alert = db.alerts.find_one() or {}
    assert (alert["alert_id"], alert["status"], alert["timestamp"]) == ("Z2", "OPEN", at(11))
    assert alert["created_at"] == at(11)
