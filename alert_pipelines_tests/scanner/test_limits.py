"""The blast-radius limits."""

import re
import shlex
from typing import Any

import pytest

from alert_pipelines.errors import BlastRadiusError, SettingsError
from alert_pipelines.job_records import recent_records
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest, stored_violations
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses


@pytest.fixture(autouse=True)
def _limit_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTO_CLOSE_MAX_FRACTION")
    monkeypatch.delenv("AUTO_CLOSE_MAX_ESCALATE_FRACTION")


def scan(db: AlertDatabase, **request: Any) -> Any:
    return run_scan(db, ScanRequest(as_of=AS_OF, **request))


@pytest.mark.parametrize("limit", [{"max_close": 2}, {"max_close_fraction": 0.5}])
def test_a_rule_past_its_limit_closes_nothing_and_all_else_goes_on(db: AlertDatabase, limit: dict[str, Any]) -> None:
    pile = [alert(f"P{n}", minutes=60) for n in range(3)]
    others = [
        alert("doc", source_type="COMPLIANCE", metadata={"document_valid": True}),
        alert("young", minutes=1, driver="D2"),
    ]
    valid = rule("valid", {"auto_close_if": "document_valid"}, source_type="COMPLIANCE")
    # It would take the three as well, but alerts of a stopped rule get no other decision.
    later = rule("later", {"expire_after_mins": 30, "escalate_if_count": 3}, priority=-1)
    fill(db, [*pile, *others], rule("greedy", {"expire_after_mins": 60, **limit}), valid, later)
    with pytest.raises(
        BlastRadiusError, match=r"'greedy' would close 3 alerts, more than its limit of 2.*--allow-over-limit"
    ) as e:
        scan(db)
    assert e.value.report.reconciles
    # What was not closed is no sample of what was.
    assert [sample.alert_id for sample in e.value.report.samples] == ["doc"]
    assert statuses(db) == {"P0": "OPEN", "P1": "OPEN", "P2": "OPEN", "doc": "AUTO_CLOSED", "young": "OPEN"}
    record = recent_records(1, db)[0]
    assert (record["status"], record["alerts_closed"]) == ("failed", 1)
    assert "'greedy' would close 3" in record["errors"][0]
    assert scan(db, allow_over_limit=("greedy",)).closed == 3


def test_a_rule_at_its_limit_closes(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=60), alert(minutes=60)], rule("exact", {"expire_after_mins": 60, "max_close": 2}))
    assert scan(db).closed == 2


def test_the_way_to_allow_it_once_can_be_typed_as_it_stands(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=60)], rule("it's old #1", {"expire_after_mins": 60, "max_close": 0}))
    with pytest.raises(BlastRadiusError) as stopped:
        scan(db)
    (command,) = re.findall(r"`alert-pipelines (.*)`", str(stopped.value))
    assert shlex.split(command) == ["scan", "--allow-over-limit", "it's old #1"]


def test_a_limit_of_zero_closes_nothing(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=60)], rule("never", {"expire_after_mins": 60, "max_close": 0}))
    with pytest.raises(BlastRadiusError, match="its limit of 0"):
        scan(db)


def test_the_first_scan_of_all_closed_and_escalated_without_a_limit(db: AlertDatabase) -> None:
    expire, pile = rule("expire", {"expire_after_mins": 60}), rule("pile", {"escalate_if_count": 10}, priority=-1)
    due = [alert(minutes=60, driver=n) for n in range(120)]
    due += [alert(minutes=60, driver=n, status="ESCALATED") for n in range(30)]
    fill(db, [*due, *(alert(minutes=1, driver="busy") for _ in range(50))], expire, pile)

    for _ in range(2):
        with pytest.raises(BlastRadiusError) as blocked:
            scan(db)
        report = blocked.value.report
        assert (report.closed, report.escalated, report.reconciles) == (0, 0, True)
        assert "would close 150 alerts, more than its limit of 100, so none was closed" in str(blocked.value)
        assert "would escalate 50 alerts" in str(blocked.value)
        assert "rule 'expire' would close 120 OPEN alerts of OVERSPEEDING" in str(blocked.value)
        assert "rule 'expire' would close 30 ESCALATED alerts of OVERSPEEDING" in str(blocked.value)
        assert "rule 'pile' would escalate 50 OPEN alerts of OVERSPEEDING" in str(blocked.value)
        assert "run with allow_over_limit: ['scan']" in str(blocked.value)
        assert recent_records(1, db)[0]["status"] == "failed"

    allowed = scan(db, allow_over_limit=("scan",))
    assert (allowed.closed, allowed.escalated) == (150, 50)


def test_a_completed_job_of_the_older_service_lifted_the_first_scans_limit(db: AlertDatabase) -> None:
    db.background_jobs.insert_one({"job_id": "old", "job_type": "auto_close_scanner", "status": "completed"})
    fill(db, [alert(minutes=60) for _ in range(150)], rule("expire", {"expire_after_mins": 60}))
    with pytest.raises(BlastRadiusError, match="No scan has completed here before"):
        scan(db)


def test_what_a_rules_own_limit_stops_is_not_foretold_of_the_first_scan(db: AlertDatabase) -> None:
    over = rule("over", {"expire_after_mins": 60, "max_close": 1})
    flood = rule("flood", {"expire_after_mins": 60}, source_type="SAFETY")
    fill(db, [alert(minutes=60) for _ in range(20)], over, flood)
    fill(db, [alert(minutes=60, source_type="SAFETY") for _ in range(200)])
    with pytest.raises(
        BlastRadiusError, match="the scan would close 200 alerts, more than its limit of 110"
    ) as blocked:
        scan(db)
    assert "what it would do: rule 'flood' would close 200 OPEN alerts of SAFETY." in str(blocked.value)


def test_after_the_first_scan_no_scan_closes_more_than_half_of_the_pending_but_it_escalates(db: AlertDatabase) -> None:
    expire = rule("expire", {"expire_after_mins": 60})
    fill(db, [alert(minutes=60) for _ in range(50)], expire)
    assert scan(db).closed == 50
    young = [alert(f"Y{n}", minutes=1, driver="D9") for n in range(10)]
    fill(db, [*(alert(minutes=61) for _ in range(150)), *young], rule("pile", {"escalate_if_count": 10}))
    with pytest.raises(BlastRadiusError, match="the scan would close 150 alerts, more than its limit of 80") as stopped:
        scan(db)
    assert (stopped.value.report.closed, stopped.value.report.escalated) == (0, 10)
    would = "Check what it would do: rule 'expire' would close 150 OPEN alerts of OVERSPEEDING."
    assert str(stopped.value).endswith(would)
    assert scan(db, allow_over_limit=("scan",)).closed == 150


def test_a_dry_run_foretells_the_stop_and_is_no_failure(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=60)], rule("never", {"expire_after_mins": 60, "max_close": 0}))
    report = scan(db, dry_run=True)
    assert [stop.blocked for stop in report.violations] == ["never"]
    assert [sample.rule_id for sample in report.samples] == ["never"]
    record = recent_records(1, db)[0]
    assert record["status"] == "completed"
    assert "its limit of 0" in record["errors"][0]


def test_a_setting_that_is_no_fraction_is_refused_by_the_first_scan_not_first_in_a_flood(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_MAX_FRACTION", "50%")
    fill(db, [alert(minutes=1)])
    with pytest.raises(SettingsError, match=r"AUTO_CLOSE_MAX_FRACTION is not a valid fraction: .*; got '50%'"):
        scan(db)
    assert db.background_jobs.count_documents({}) == 0, "it is refused before the claim"


def test_a_small_scan_is_not_limited(db: AlertDatabase) -> None:
    expire = rule("expire", {"expire_after_mins": 60})
    fill(db, [alert(minutes=60)], expire)
    scan(db)
    fill(db, [alert(timestamp=ago(61)) for _ in range(100)])
    assert scan(db).closed == 100


def test_the_scans_own_limit_is_a_setting(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, [alert(minutes=60) for _ in range(150)], rule("expire", {"expire_after_mins": 60}))
    monkeypatch.setenv("AUTO_CLOSE_MAX_FRACTION", "1")
    assert scan(db).closed == 150


def test_a_scan_escalated_all_that_a_bad_rule_said(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, [alert(minutes=60) for _ in range(110)], rule("expire", {"expire_after_mins": 600}))
    scan(db)
    fill(db, [alert(minutes=600, driver="D2")], rule("greedy", {"escalate_if_count": 2}))
    fill(db, [alert(status="ESCALATED", driver="D3") for _ in range(50)])

    with pytest.raises(
        BlastRadiusError, match="the scan would escalate 110 alerts, more than its limit of 55, so none"
    ) as blocked:
        scan(db)
    report = blocked.value.report
    assert (report.closed, report.escalated, report.reconciles) == (1, 0, True)
    would = "Check what it would do: rule 'greedy' would escalate 110 OPEN alerts of OVERSPEEDING."
    assert str(blocked.value).endswith(would)

    monkeypatch.setenv("AUTO_CLOSE_MAX_ESCALATE_FRACTION", "0.99")
    with pytest.raises(BlastRadiusError, match="its limit of 108"):
        scan(db)
    assert scan(db, allow_over_limit=("scan",)).escalated == 110


def test_a_first_scan_that_is_stopped_in_escalating_closes_nothing_either(db: AlertDatabase) -> None:
    expire, greedy = rule("expire", {"expire_after_mins": 600}), rule("greedy", {"escalate_if_count": 2})
    fill(db, [alert("one", minutes=600, driver="D2"), *(alert(minutes=60) for _ in range(110))], expire, greedy)
    with pytest.raises(
        BlastRadiusError, match="the scan would escalate 110 alerts, more than its limit of 55"
    ) as blocked:
        scan(db)
    assert "rule 'expire' would close 1 OPEN alerts" in str(blocked.value)
    assert statuses(db)["one"] == "OPEN"


def test_a_few_escalations_are_not_limited(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=1) for _ in range(100)], rule("pile", {"escalate_if_count": 2}))
    assert scan(db).escalated == 100


def test_what_a_limit_blocked_is_read_from_records_of_earlier_versions_too(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=60)], rule("greedy", {"expire_after_mins": 60, "max_close": 0}))
    with pytest.raises(BlastRadiusError) as blocked:
        scan(db)
    stats = recent_records(1, db)[0]["stats"]
    assert stored_violations(stats) == blocked.value.report.violations
    [now] = stats["blocked"]
    earlier = {"stopped": [{("stopped" if key == "blocked" else key): value for key, value in now.items()}]}
    assert stored_violations(earlier) == blocked.value.report.violations
