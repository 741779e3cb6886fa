"""The blast-radius limits."""

import re
import shlex
from typing import Any

import pytest

from alert_pipelines.job_records import get_recent_jobs
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.limits import BlastRadiusError, InvalidFractionError, fraction_setting
from alert_pipelines.scanner.report import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule, statuses


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
        BlastRadiusError, match=r"'greedy' would close 3 alerts, its limit is 2.*--allow-over-limit"
    ) as e:
        scan(db)
    assert e.value.report.reconciles
    # What was not closed is no sample of what was.
    assert [sample.alert_id for sample in e.value.report.samples] == ["doc"]
    assert statuses(db) == {"P0": "OPEN", "P1": "OPEN", "P2": "OPEN", "doc": "AUTO_CLOSED", "young": "OPEN"}
    record = get_recent_jobs(1, db)[0]
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
    with pytest.raises(BlastRadiusError, match="its limit is 0"):
        scan(db)


def test_after_the_first_scan_no_scan_closes_more_than_half_of_the_pending_but_it_escalates(db: AlertDatabase) -> None:
    expire = rule("expire", {"expire_after_mins": 60})
    fill(db, [alert(minutes=60) for _ in range(150)], expire)
    assert scan(db).closed == 150
    young = [alert(f"Y{n}", minutes=1, driver="D9") for n in range(10)]
    fill(db, [*(alert(minutes=61) for _ in range(150)), *young], rule("pile", {"escalate_if_count": 10}))
    with pytest.raises(BlastRadiusError, match="the scan would close 150 alerts, its limit is 80") as stopped:
        scan(db)
    assert (stopped.value.report.closed, stopped.value.report.escalated) == (0, 10)
    assert scan(db, allow_over_limit=("scan",)).closed == 150


def test_a_dry_run_foretells_the_stop_and_is_no_failure(db: AlertDatabase) -> None:
    fill(db, [alert(minutes=60)], rule("never", {"expire_after_mins": 60, "max_close": 0}))
    report = scan(db, dry_run=True)
    assert [stop.stopped for stop in report.stops] == ["never"]
    assert [sample.rule_id for sample in report.samples] == ["never"]
    record = get_recent_jobs(1, db)[0]
    assert record["status"] == "completed"
    assert "its limit is 0" in record["errors"][0]


def test_a_setting_that_is_no_fraction_is_refused_by_the_first_scan_not_first_in_a_flood(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_MAX_FRACTION", "50%")
    fill(db, [alert(minutes=1)])
    with pytest.raises(InvalidFractionError, match="AUTO_CLOSE_MAX_FRACTION='50%'"):
        scan(db)
    assert scan(db, max_close_fraction=0.5).total_checked == 1


def test_a_rule_that_its_limit_stops_from_the_first_scan_on_does_not_keep_the_scans_own_limit_away(
    db: AlertDatabase,
) -> None:
    over = rule("over", {"expire_after_mins": 60, "max_close": 1})
    fill(db, [alert(minutes=60) for _ in range(20)], over)
    with pytest.raises(BlastRadiusError, match="'over' would close 20"):
        scan(db)
    flood = [alert(f"F{n}", minutes=60, source_type="SAFETY") for n in range(200)]
    fill(db, flood, rule("bad", {"expire_after_mins": 60}, source_type="SAFETY"))
    with pytest.raises(BlastRadiusError, match="the scan would close 200 alerts, its limit is 110"):
        scan(db)
    assert statuses(db)["F0"] == "OPEN"


def test_a_small_scan_is_not_limited(db: AlertDatabase) -> None:
    expire = rule("expire", {"expire_after_mins": 60})
    fill(db, [alert(minutes=60)], expire)
    scan(db)
    fill(db, [alert(timestamp=ago(61)) for _ in range(100)])
    assert scan(db).closed == 100


def test_the_scans_own_limit_is_a_setting(db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, [alert(minutes=60) for _ in range(150)], rule("expire", {"expire_after_mins": 60}))
    scan(db)
    fill(db, [alert(minutes=61) for _ in range(150)])
    monkeypatch.setenv("AUTO_CLOSE_MAX_FRACTION", "1")
    assert scan(db).closed == 150


@pytest.mark.parametrize("setting", ["half", "-0.1", "1.1", "nan"])
def test_a_setting_that_is_no_fraction_is_named(setting: str) -> None:
    with pytest.raises(InvalidFractionError, match=f"AUTO_CLOSE_MAX_FRACTION='{setting}'"):
        fraction_setting({"AUTO_CLOSE_MAX_FRACTION": setting})
