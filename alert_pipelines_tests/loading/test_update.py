"""A later state of the same alerts, loaded over the earlier one with and without `update`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS

from alert_pipelines.alerts import Alert
from alert_pipelines.loading import LoadReport, load_alerts, load_preset
from alert_pipelines.loading.readers import read_rows
from alert_pipelines.loading.reading import Reading
from alert_pipelines.loading.rejects import Rejects
from alert_pipelines.loading.spool import open_spool
from alert_pipelines.loading.update import find_stored, update_stored
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import fill, rule

from .mappings import FLEET, TICKETS, mapping, write

FILES = Path(__file__).parent / "files"
HEADER = "id,state,opened,updated,by,owner\n"
DECISION = {
    "from_status": "OPEN",
    "to_status": "AUTO_CLOSED",
    "timestamp": datetime(2025, 1, 2, 12, tzinfo=UTC),
    "reason": "it settled",
    "triggered_by": "system",
    "rule_triggered": "settled",
    "job_id": "JOB-1",
}


def incidents(db: AlertDatabase, name: str, *, update: bool = False) -> LoadReport:
    return load_alerts(db, FILES / name, load_preset("pagerduty"), update=update)


def log(db: AlertDatabase, tmp_path: Path, rows: str, *, update: bool = True, **changes: Any) -> LoadReport:
    path = write(tmp_path / "log.csv", HEADER + rows)
    declared = mapping(TICKETS, **changes)
    return load_alerts(db, path, declared, update=update, reject_path=tmp_path / "bad.jsonl")


def only(db: AlertDatabase) -> dict[str, Any]:
    (alert,) = db.alerts.find()
    Alert.model_validate(alert)
    return alert


def close_here(db: AlertDatabase, alert_id: str = "A", **more: Any) -> None:
    at = DECISION["timestamp"]
    done = {"status": "AUTO_CLOSED", "closed_at": at, "updated_at": at, "auto_close_reason": "it settled", **more}
    db.alerts.update_one({"alert_id": alert_id}, {"$set": done, "$push": {"state_history": DECISION}})


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2025, 1, number, hour, tzinfo=UTC)


def told(report: LoadReport) -> tuple[int, int, int, int, int]:
    return (
        report.alerts_inserted,
        report.alerts_already_there,
        report.alerts_updated,
        report.alerts_differ,
        report.decisions_kept,
    )


def test_the_next_day_of_the_same_incidents_changed_nothing(db: AlertDatabase) -> None:
    incidents(db, "pagerduty_incidents.csv")
    before = list(db.alerts.find())
    report = incidents(db, "pagerduty_incidents_next_day.csv")
    assert told(report) == (0, 3, 0, 1, 0)
    assert list(db.alerts.find()) == before
    assert told(incidents(db, "pagerduty_incidents_next_day.csv", update=True)) == (0, 3, 1, 0, 0)
    p3 = db.alerts.find_one({"alert_id": "P3"}) or {}
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert (p3["status"], p3["resolved_at"], p3["updated_at"], len(p3["state_history"])) == ("RESOLVED", noon, noon, 1)
    assert p3["created_at"] == noon - timedelta(hours=1)
    after = list(db.alerts.find())
    assert told(incidents(db, "pagerduty_incidents_next_day.csv", update=True)) == (0, 3, 0, 0, 0)
    assert told(incidents(db, "pagerduty_incidents.csv", update=True)) == (0, 3, 0, 0, 0), "an older state"
    assert list(db.alerts.find()) == after


def test_what_a_scan_closed_was_opened_again_by_the_next_export(db: AlertDatabase, tmp_path: Path) -> None:
    incidents(db, "pagerduty_incidents.csv")
    fill(db, [], rule("old", {"expire_after_mins": 1}, source_type="PAGERDUTY"))
    run_scan(db, ScanRequest(as_of=datetime(2026, 11, 20, 11, 30, tzinfo=UTC), allow_over_limit=("old", "scan")))
    assert db.alerts.distinct("status") == ["AUTO_CLOSED", "RESOLVED"]
    path = write(
        tmp_path / "later.csv",
        """
        id,status,service,urgency,created_on,last_change,resolved_on
        P2,acknowledged,telematics,high,2026-11-20T10:00:00Z,2026-11-20T13:00:00Z,
        P3,resolved,other,high,2026-11-20T11:00:00Z,2026-11-20T13:00:00Z,2026-11-20T13:00:00Z
        """.replace("        ", ""),
    )
    report = load_alerts(db, path, load_preset("pagerduty"), update=True)
    assert told(report) == (0, 2, 2, 0, 2)
    for alert in db.alerts.find({"alert_id": {"$ne": "P1"}}):
        assert (alert["status"], alert["resolved_at"], len(alert["state_history"])) == ("AUTO_CLOSED", None, 1)
    assert (db.alerts.find_one({"alert_id": "P2"}) or {})["severity"] == "CRITICAL"
    assert (db.alerts.find_one({"alert_id": "P3"}) or {})["metadata"]["service"] == "other"
    assert told(load_alerts(db, path, load_preset("pagerduty"), update=True)) == (0, 2, 0, 0, 2)


def test_a_nightly_log_holds_only_the_new_events(db: AlertDatabase, tmp_path: Path) -> None:
    log(db, tmp_path, "A,New,2025-01-01,2025-01-01T08:00,ann,x\n")
    report = log(db, tmp_path, "A,Solved,,2025-01-02T08:00,bob,\nB,New,2025-01-02,2025-01-02T09:00,ann,z\n")
    assert told(report) == (1, 1, 1, 0, 0)
    a = db.alerts.find_one({"alert_id": "A"}) or {}
    assert (a["status"], a["resolved_at"], a["resolved_by"], a["timestamp"]) == ("RESOLVED", day(2, 8), "bob", day(1))
    assert (a["created_at"], a["metadata"]) == (day(1, 8), {"state": "Solved"})
    night = "A,Solved,,2025-01-02T08:00,bob,\nA,New,,2025-01-03T08:00,bob,y\nA,Solved,,2025-01-03T09:00,,y\n"
    assert told(log(db, tmp_path, night)) == (0, 1, 1, 0, 0)
    a = db.alerts.find_one({"alert_id": "A"}) or {}
    assert [entry["to_status"] for entry in a["state_history"]] == ["RESOLVED", "OPEN", "RESOLVED"]
    assert told(log(db, tmp_path, night)) == (0, 1, 0, 0, 0)


def test_a_recovery_in_the_next_file_was_an_id_that_never_fired(db: AlertDatabase, tmp_path: Path) -> None:
    fires, ends = (FILES / "zabbix_events.ndjson").read_text().splitlines()
    for night, (line, expected) in enumerate([(fires, (1, 0, 0, 0, 0)), (ends, (0, 1, 1, 0, 0))]):
        path = write(tmp_path / f"{night}.ndjson", line + "\n")
        report = load_alerts(db, path, load_preset("zabbix"), update=True)
        assert (told(report), report.never_fired, report.rows_rejected) == (expected, 0, 0)
    alert = only(db)
    assert (alert["status"], alert["severity"], len(alert["state_history"])) == ("RESOLVED", "CRITICAL", 1)


def test_a_log_reopens_what_was_closed_here_only_if_it_fired_again(db: AlertDatabase, tmp_path: Path) -> None:
    log(db, tmp_path, "A,New,2025-01-01,2025-01-01T08:00,ann,x\n")
    close_here(db)
    assert told(log(db, tmp_path, "A,New,,2025-01-03T08:00,ann,y\n")) == (0, 1, 1, 0, 1)
    assert (only(db)["status"], only(db)["metadata"]["owner"]) == ("AUTO_CLOSED", "y")
    again = "A,Solved,,2025-01-04T08:00,ann,y\nA,New,,2025-01-05T08:00,ann,y\n"
    assert told(log(db, tmp_path, again)) == (0, 1, 1, 0, 0)
    alert = only(db)
    assert (alert["status"], alert["closed_at"], alert["auto_close_reason"]) == ("OPEN", None, None)
    assert [entry["to_status"] for entry in alert["state_history"]] == ["AUTO_CLOSED", "OPEN"]
    assert alert["state_history"][0] == DECISION
    assert told(log(db, tmp_path, again)) == (0, 1, 0, 0, 0)


def test_what_was_escalated_here_is_resolved_by_the_source(db: AlertDatabase, tmp_path: Path) -> None:
    log(db, tmp_path, "A,New,2025-01-01,2025-01-01T08:00,ann,x\n")
    escalated = {"status": "ESCALATED", "severity": "CRITICAL", "escalated_at": day(2), "updated_at": day(2)}
    entry = {**DECISION, "to_status": "ESCALATED", "timestamp": day(2)}
    db.alerts.update_one({}, {"$set": escalated, "$push": {"state_history": entry}})
    assert told(log(db, tmp_path, "A,New,,2025-01-03T08:00,ann,y\n")) == (0, 1, 1, 0, 1)
    assert (only(db)["status"], only(db)["severity"]) == ("ESCALATED", "CRITICAL")
    log(db, tmp_path, "A,Solved,,2025-01-04T08:00,ann,y\n")
    assert (only(db)["status"], only(db)["severity"]) == ("RESOLVED", "CRITICAL")


def test_what_the_file_does_not_tell_stays(db: AlertDatabase, tmp_path: Path) -> None:
    declared = mapping(FLEET)
    path = write(tmp_path / "a.csv", "id,source,severity,at,driver,speed\nA,SAFETY,INFO,2025-01-01,D,80\n")
    load_alerts(db, path, declared)
    db.alerts.update_one({}, {"$set": {"metadata.document_valid": True, "expires_at": day(9), "extra": 1}})
    assert told(load_alerts(db, path, declared, update=True)) == (0, 1, 0, 0, 0)
    path.write_text("id,source,severity,at,driver,speed\nA,SAFETY,CRITICAL,2025-01-01,D,\n")
    assert told(load_alerts(db, path, declared, update=True)) == (0, 1, 1, 0, 0)
    alert = db.alerts.find_one() or {}
    assert alert["metadata"] == {"driver_id": "D", "document_valid": True}
    assert (alert["severity"], alert["expires_at"], alert["extra"]) == ("CRITICAL", day(9), 1)


@pytest.mark.parametrize(
    "broken", [{"state_history": "none"}, {"status": "odd"}, {"metadata": None}, {"updated_at": "soon"}]
)
def test_an_alert_that_is_malformed_is_left_as_it_is(db: AlertDatabase, tmp_path: Path, broken: dict[str, Any]) -> None:
    log(db, tmp_path, "A,New,2025-01-01,2025-01-01T08:00,ann,x\n")
    db.alerts.update_one({}, {"$set": broken})
    before = db.alerts.find_one()
    assert told(log(db, tmp_path, "A,Solved,,2025-01-03T08:00,ann,y\n")) == (0, 1, 0, 0, 1)
    assert db.alerts.find_one() == before


def test_a_decision_between_reading_and_writing_stands(db: AlertDatabase, tmp_path: Path) -> None:
    incidents(db, "pagerduty_incidents.csv")
    declared = load_preset("pagerduty")
    rows = read_rows(FILES / "pagerduty_incidents_next_day.csv", declared)
    with open_spool() as spool:
        found = {each.alert_id: each.incoming for each in Reading(declared, None, Rejects(), spool).alerts(rows)}
    stored = find_stored(db, list(found))
    close_here(db, "P3", updated_at=datetime(2026, 11, 20, 11, 30, tzinfo=UTC))
    done = update_stored(db, found, stored, write=True)
    assert (done.differing, done.refused) == (0, [])
    alert = db.alerts.find_one({"alert_id": "P3"}) or {}
    assert (alert["status"], len(alert["state_history"])) == ("AUTO_CLOSED", 1)


def test_an_update_that_broke_off_is_taken_up_again(db: AlertDatabase, tmp_path: Path) -> None:
    rows = "".join(f"A{n},New,2025-01-01T07:00,2025-01-01T08:00,ann,x\n" for n in range(50))
    log(db, tmp_path, rows)
    path = write(tmp_path / "later.csv", HEADER + rows.replace("New", "Solved").replace("01T08", "02T08"))
    declared = mapping(TICKETS)
    with pytest.raises(RuntimeError, match="the power failed"):
        load_alerts(db, path, declared, update=True, batch_size=20, on_progress=_Fails(after=3))
    assert 0 < db.alerts.count_documents({"status": "RESOLVED"}) < 50
    report = load_alerts(db, path, declared, update=True)
    assert (report.alerts_already_there, db.alerts.count_documents({"status": "RESOLVED"})) == (50, 50)
    assert db.alerts.count_documents({"state_history": {"$size": 1}}) == 50


class _Fails:
    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self, _: LoadReport) -> None:
        self._left -= 1
        if not self._left:
            raise RuntimeError("the power failed")


def test_a_row_that_repeats_an_id_does_not_count_as_a_later_state(db: AlertDatabase, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "id,source,severity,at,driver,speed\nA,SAFETY,INFO,2025-01-01,D,80\nA,SAFETY,INFO,2025-01-01,E,90\n",
    )
    for _ in range(2):
        report = load_alerts(db, path, mapping(FLEET), update=True, batch_size=1)
    assert (told(report), report.summary.rows_sharing_id) == ((0, 2, 0, 0, 0), 1)
    assert only(db)["metadata"]["driver_id"] == "D"


def test_an_update_that_the_server_refuses_is_rejected(db: AlertDatabase, tmp_path: Path) -> None:
    log(db, tmp_path, "A,New,2025-01-01,2025-01-01T08:00,ann,x\n")
    db.command("collMod", "alerts", validator={"status": "OPEN"})
    report = log(db, tmp_path, "A,Solved,,2025-01-03T08:00,ann,y\n")
    assert (told(report), report.rows_rejected) == ((0, 0, 0, 0, 0), 1)
    assert only(db)["status"] == "OPEN"


def test_a_stored_alert_with_a_date_beyond_pythons_years_stopped_the_load(db: AlertDatabase, tmp_path: Path) -> None:
    log(db, tmp_path, "A,New,2025-01-01,2025-01-01,x,\nB,New,2025-01-01,2025-01-01,x,\n")
    beyond = DatetimeMS(10**15)
    db.alerts.update_one({"alert_id": "A"}, {"$set": {"updated_at": beyond}})
    report = log(db, tmp_path, "A,New,2025-01-01,2025-01-01,x,\nB,Solved,2025-01-01,2025-01-02,x,\n")
    assert told(report) == (0, 2, 1, 0, 1)
    raw = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)
    found = {alert["alert_id"]: alert for alert in db.alerts.with_options(codec_options=raw).find()}
    assert found["A"]["updated_at"] == beyond
    assert found["B"]["status"] == "RESOLVED"
