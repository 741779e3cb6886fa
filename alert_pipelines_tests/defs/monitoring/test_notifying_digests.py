"""The digest that each receiver is sent once a day; the receivers are real ones."""

from datetime import UTC, date, datetime, timedelta

import pytest
from dagster import DagsterInstance

from alert_pipelines.errors import BlastRadiusError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring import notifications
from alert_pipelines.monitoring.notices import day_due
from alert_pipelines.reports import digest as digests
from alert_pipelines.reports.digest import day_digest
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.settings import NOTIFY_VARIABLE
from alert_pipelines_tests.defs.conftest import sensor_context
from alert_pipelines_tests.defs.monitoring.notification_ticks import Ticks
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule
from alert_pipelines_tests.receivers import Inbox, hanging, webhook

pytestmark = pytest.mark.usefixtures("mongodb_env")

Entry = dict[str, object]


def entry(day: date, was: str, to: str, by: str, rule_id: str | None = None, **more: object) -> Entry:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    change: Entry = {"timestamp": at, "from_status": was, "to_status": to, "triggered_by": by}
    return change | ({"rule_triggered": rule_id} if rule_id else {}) | more


def closed(day: date, rule_id: str) -> Entry:
    return entry(day, "OPEN", "AUTO_CLOSED", "system", rule_id, job_id="JOB-1")


def a_day_of_work(db: AlertDatabase, day: date) -> None:
    """Rules closed 3 and escalated 1, people resolved 1 and reopened 1, an undo took back 1."""
    histories = [
        *([closed(day, "settled")] for _ in range(2)),
        [closed(day, "old")],
        [entry(day, "OPEN", "ESCALATED", "system", "late")],
        [entry(day, "OPEN", "RESOLVED", "user-1")],
        [closed(day - timedelta(days=1), "old"), entry(day, "AUTO_CLOSED", "OPEN", "user-1")],
        [
            entry(day, "OPEN", "AUTO_CLOSED", "system", "old", job_id="JOB-2"),
            entry(day, "AUTO_CLOSED", "OPEN", "undo", undoes={"job_id": "JOB-2", "rule_id": "old"}),
        ],
    ]
    fill(db, [alert(status="RESOLVED", state_history=history) for history in histories])


def a_blocked_scan(db: AlertDatabase) -> None:
    """A rule past its limit, and a pending alert whose timestamp is a text."""
    fill(
        db,
        [alert(minutes=120), alert("A-bad", timestamp="soon")],
        rule("all of them", {"expire_after_mins": 60, "max_close": 0}),
    )
    with pytest.raises(BlastRadiusError):
        run_scan(db, ScanRequest(as_of=AS_OF, run_id="run-1"))


def test_nobody_was_told_of_a_day_that_went_as_it_should(
    tick: Ticks, hook: Inbox, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_PIPELINES_UI_URL", "https://dagster.example/")
    a_blocked_scan(db)
    tick()
    hook.got.clear()
    tick.let_a_day_pass()
    day = day_due(datetime.now(UTC))
    a_day_of_work(db, day)
    tick()
    [(title, body)] = hook.got
    assert title == f"Alert scanner: {day}: 3 closed, 1 escalated, 1 reopened, 1 undone"
    first, *lines = body.splitlines()
    assert first == f"{day} (UTC), database {db.name}:"
    assert lines[:4] == [
        "Closed: 3 by rules (settled 2, old 1), 0 by people",
        "Escalated: 1 by rules (late 1), 0 by people",
        "Resolved: 0 by rules, 1 by people",
        "Reopened: 1. Undone: 1",
    ]
    assert lines[4].startswith("Blocked by a limit since ")
    assert lines[4].endswith(": https://dagster.example/runs/run-1")
    assert lines[5].startswith("- rule 'all of them' would close 1 alert, more than its limit of 0")
    assert lines[6] == "Malformed pending alerts: 1"
    assert lines[7].startswith("- alert 'A-bad': timestamp is not a valid date")
    page = f"https://dagster.example/assets/daily_report?view=partitions&partition={day}"
    assert lines[8:] == [f"Report: {page} or `alert-pipelines report {day}`"]


def test_a_digest_is_sent_once_a_day_also_after_the_daemon_was_started_again(
    tick: Ticks, hook: Inbox, instance: DagsterInstance
) -> None:
    assert tick() == "Nothing to send."
    tick.let_a_day_pass()
    assert "0 closed, 0 escalated, 0 reopened, 0 undone" in tick()
    assert tick() == "Nothing to send."
    restarted = Ticks(sensor_context(instance))
    restarted.cursor = tick.cursor
    assert restarted() == "Nothing to send."
    assert len(hook.got) == 1


def test_days_on_which_no_daemon_ran_are_one_digest_of_the_last_of_them(tick: Ticks, hook: Inbox) -> None:
    tick()
    tick.let_a_day_pass(days=5)
    tick()
    assert tick() == "Nothing to send."
    [title] = hook.titles
    assert f" {day_due(datetime.now(UTC))}: " in title


def test_a_receiver_that_is_down_gets_the_digest_when_it_is_back_and_it_is_made_once(
    tick: Ticks, hook: Inbox, db: AlertDatabase
) -> None:
    tick()
    tick.let_a_day_pass()
    hook.refuses = True
    assert "Not sent, to be retried at the next tick" in tick()
    a_day_of_work(db, day_due(datetime.now(UTC)))
    hook.refuses = False
    assert " 0 closed," in tick()
    assert tick() == "Nothing to send."


def test_a_receiver_that_hangs_keeps_no_other_from_its_digest(
    tick: Ticks, hook: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "LONGEST_DELIVERY_S", 1.0)
    with hanging() as port, webhook() as well:
        monkeypatch.setenv(NOTIFY_VARIABLE, f"json://127.0.0.1:{port} json://127.0.0.1:{well.port}")
        tick()
        tick.let_a_day_pass()
        tick()
        tick()
    assert len(well.got) == 1


def test_a_digest_that_takes_too_long_says_so_and_has_the_rest(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_blocked_scan(db)
    fill(db, [alert() for _ in range(20_000)])
    monkeypatch.setattr(digests, "MAX_SECONDS", 0.001)
    made = day_digest(db, date(2026, 3, 1))
    assert made.title == "2026-03-01: what was done was not counted"
    assert "make the two indexes of docs/daily-report.md" in made.text
    assert "rule 'all of them' would close" in made.text


def test_the_counts_are_those_of_the_daily_report(db: AlertDatabase) -> None:
    from alert_pipelines.reports.daily import daily_report  # noqa: PLC0415

    day = date(2026, 3, 1)
    a_day_of_work(db, day)
    report = daily_report(db, day, days=1)
    counts = ", ".join(f"{report.count(what)} {what}" for what in ("closed", "escalated", "reopened", "undone"))
    assert day_digest(db, day).title == f"{day}: {counts}"
