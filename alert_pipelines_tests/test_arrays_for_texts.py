"""A status, a source or a severity that is an array is not the texts in it, wherever alerts are found or counted."""

import re
from datetime import timedelta
from typing import Any

import pytest

from alert_pipelines.alerts import Status, find_alert
from alert_pipelines.alerts.pending import PendingOfSources, count_pending
from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.audit.undo import undo_job
from alert_pipelines.backtesting.backtest import backtest_day
from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring.health import pending_by_source
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.commands import recorded
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, stored

RULES = [
    rule("expire", {"expire_after_mins": 60}),
    rule("lists", {"expire_after_mins": 60}, source_type=["OVERSPEEDING", "IDLING"]),
    rule("mild", {"expire_after_mins": 20, "severities": ["INFO"]}),
    rule("latest", {"keep_latest": True, "group_by": "metadata.vehicle_id"}),
    rule("quiet", {"close_if_no_repeat_mins": 60, "group_by": "metadata.vehicle_id"}),
    rule("pile-up", {"escalate_if_count": 2, "window_mins": 600}),
]
ARRAYS = [
    alert("status", status=["OPEN"], minutes=90),
    alert("both", status=["OPEN", "ESCALATED"], minutes=91),
    alert("source", source_type=["OVERSPEEDING", "IDLING"], minutes=92),
    alert("severity", severity=["INFO"], minutes=30, driver="D2"),
]
VEHICLE = {"metadata": {"driver_id": "D9", "vehicle_id": "V1"}}
PLAIN = [alert("open", driver="D3", minutes=10), alert("newer", minutes=5, status="ESCALATED", **VEHICLE)]

OTHER = {"source_type": "SAFETY", "match": {"alert_id": "metadata.parent"}, "statuses": ["RESOLVED"], "when": "any"}


@pytest.fixture
def filled(db: AlertDatabase) -> AlertDatabase:
    """Two pending alerts among others whose texts are arrays."""
    fill(db, [*ARRAYS, *PLAIN, alert("older", minutes=94, status=["OPEN"], **VEHICLE)], *RULES)
    return db


def test_an_alert_whose_status_or_source_is_an_array_was_decided_as_the_text_in_it(filled: AlertDatabase) -> None:
    before = {one["alert_id"]: one for one in filled.alerts.find()}
    dry = run_scan(filled, ScanRequest(as_of=AS_OF, dry_run=True))
    assert (dry.planned, dry.pending) == ((), {"OPEN": 3, "ESCALATED": 1})
    report = run_scan(filled, ScanRequest(as_of=AS_OF))
    assert (report.decisions, report.errors) == ((), ())
    assert {one["alert_id"]: one for one in filled.alerts.find()} == before
    for alert_id in before:
        assert explain_alert(filled, alert_id, as_of=AS_OF).decided_by is None


def test_what_is_pending_was_counted_by_the_elements_of_arrays(filled: AlertDatabase) -> None:
    assert count_pending(filled) == {"OPEN": 3, "ESCALATED": 1}
    found = [
        (one.source_type, str(one.status), one.alerts, one.oldest_alert) for one in pending_by_source(filled, AS_OF)
    ]
    assert found == [
        ("OVERSPEEDING", "OPEN", 2, "severity"),
        ("OVERSPEEDING", "ESCALATED", 1, "newer"),
        ("['OVERSPEEDING', 'IDLING']", "OPEN", 1, "source"),
    ]


def test_a_limit_counted_alerts_whose_source_is_an_array(db: AlertDatabase) -> None:
    odd = [alert(source_type=["OVERSPEEDING"]) for _ in range(8)] + [alert(status=["OPEN"]) for _ in range(8)]
    half = {"max_close_fraction": 0.5}
    fill(db, [alert(minutes=90), alert(minutes=90), alert(), *odd], rule("expire", {"expire_after_mins": 60, **half}))
    with pytest.raises(BlastRadiusError, match="would close 2 alerts, more than its limit of 1"):
        run_scan(db, ScanRequest(as_of=AS_OF))


@pytest.mark.parametrize("source_type", [None, ["OVERSPEEDING"], "OVERSPEEDING"])
def test_the_counts_are_those_of_a_look_at_every_alert(db: AlertDatabase, source_type: Any) -> None:
    kinds = ["OPEN", "ESCALATED", ["OPEN"], ["OPEN", "OPEN"], ["OPEN", "ESCALATED"], [["OPEN"]], [], None, 5, "CLOSED"]
    sources: list[Any] = ["OVERSPEEDING", ["OVERSPEEDING"], ["OVERSPEEDING", "B", "B"], [["OVERSPEEDING"]], [], None, 5]
    # An index over both paths admits an array at one of them only.
    pairs = [(one, of) for one in kinds for of in sources if not (isinstance(one, list) and isinstance(of, list))]
    fill(db, [alert(status=status, source_type=source) for status, source in pairs * 2])
    alerts = list(db.alerts.find())
    assert count_pending(db) == {
        status: sum(one["status"] == status for one in alerts) for status in ("OPEN", "ESCALATED")
    }
    for status in (Status.OPEN, Status.ESCALATED):
        of_it = sum(one["status"] == status and one["source_type"] == source_type for one in alerts)
        assert PendingOfSources(db).count(source_type, status) == of_it


def test_counting_reads_no_document_where_no_text_is_an_array(db: AlertDatabase, mongo_uri: str) -> None:
    fill(db, [alert(source_type=f"S{n % 5}") for n in range(300)])
    with recorded(db, mongo_uri) as (recording, recorder):
        count_pending(recording)
        for n in range(5):
            PendingOfSources(recording).count(f"S{n}", Status.OPEN)
    assert len(recorder.of_the_program()) == 3 + 5 * 3
    for command in recorder.of_the_program():
        asked = {name: command[name] for name in ("aggregate", "pipeline", "cursor")}
        said = str(db.command("explain", asked, verbosity="executionStats"))
        assert "COLLSCAN" not in said
        assert set(re.findall(r"'(?:totalDocsExamined|docsExamined)': (\d+)", said)) == {"0"}


def test_an_undo_took_a_status_that_is_an_array_for_the_text_in_it(db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=90)], rule("expire", {"expire_after_mins": 60}))
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    db.alerts.update_one({"alert_id": "A"}, {"$set": {"status": ["AUTO_CLOSED"]}})
    assert undo_job(db, report.job_id, dry_run=False).restored == 0


def test_a_window_of_one_source_held_an_alert_whose_source_is_an_array(db: AlertDatabase) -> None:
    fill(db, [alert("B", source_type=["OVERSPEEDING"], expires_at=AS_OF)])
    within = {"from": AS_OF - timedelta(hours=1), "to": AS_OF + timedelta(hours=1)}
    db.maintenance_windows.insert_one({"window_id": "w", "source_types": ["OVERSPEEDING"], **within})
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    assert (report.closed, report.errors) == (1, ())
    assert stored(db, "B")["status"] == "AUTO_CLOSED"


@pytest.mark.parametrize(
    "decides",
    [{"close_if_other": OTHER}, {"escalate_if_count": 1, "suppress_if_other": OTHER}],
    ids=lambda one: [*one][-1],
)
def test_another_alert_spoke_by_an_element_of_its_status(db: AlertDatabase, decides: dict[str, Any]) -> None:
    parents = [
        alert("array", source_type="SAFETY", status=["RESOLVED"]),
        alert("p", source_type="SAFETY", status="RESOLVED"),
    ]
    children = [alert(f"of-{parent}", metadata={"driver_id": "D1", "parent": parent}) for parent in ("array", "p")]
    fill(db, [*parents, *children], rule("child", decides))
    run_scan(db, ScanRequest(as_of=AS_OF))
    closes = "close_if_other" in decides
    assert stored(db, "of-array")["status"] == ("OPEN" if closes else "ESCALATED")
    assert stored(db, "of-p")["status"] == ("AUTO_CLOSED" if closes else "OPEN")


def test_an_alert_was_found_by_an_element_of_its_id(db: AlertDatabase) -> None:
    fill(db, [alert("A"), {**alert("x"), "alert_id": ["B", "C"]}])
    assert find_alert(db, "A")["alert_id"] == "A"
    with pytest.raises(Exception, match="no alert 'B'"):
        find_alert(db, "B")


def test_a_backtest_decided_an_alert_whose_source_is_an_array(db: AlertDatabase) -> None:
    fill(db, [*ARRAYS, alert("plain", minutes=90)])
    day = backtest_day(db, [parse_rule(rule("expire", {"expire_after_mins": 60}))], AS_OF.date())
    assert (day.proposed[0].rule_id, day.proposed[0].would_close) == ("expire", 2)
