"""What a dry run says by status and severity."""

from typing import Any

from alert_pipelines.alerts.decision_counts import MAX_COUNTS, OTHER_SOURCES
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill

OLD: dict[str, Any] = {"expires_at": AS_OF}


def test_all_that_could_be_written_is_counted_whatever_its_alerts_say(db: AlertDatabase) -> None:
    odd = [alert(severity=severity, **OLD) for severity in (None, ["WARNING"], {"$gt": ""}, "x" * 1000)]
    fill(db, [*odd, alert(**OLD), alert(**OLD), alert("unwritable", state_history="text", **OLD)])
    report = run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True))
    assert [group.alerts for group in report.preview] == [2, 1, 1, 1, 1]
    assert {group.status for group in report.preview} == {"OPEN"}
    assert max(len(group.severity) for group in report.preview) == 201
    assert run_scan(db, ScanRequest(as_of=AS_OF)).preview == ()


def test_a_source_for_each_alert_makes_no_table_of_as_many_rows(db: AlertDatabase) -> None:
    many = MAX_COUNTS + 50
    fill(db, [alert(source_type=f"S{number}", **OLD) for number in range(many)])
    preview = run_scan(db, ScanRequest(as_of=AS_OF, dry_run=True)).preview
    assert len(preview) == MAX_COUNTS + 1
    assert (preview[-1].source_type, preview[-1].alerts) == (OTHER_SOURCES, 50)
    assert sum(group.alerts for group in preview) == many
