"""The answers that docs/cli.md shows are those that the commands give: word by word, but for times and ids."""

import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat

from alert_pipelines.defs.scan.schedule import build_schedule
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.maintenance import snooze_alert
from alert_pipelines.rules.model import RuleSet
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.rules.store import keep_version, load_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.dagster_processes import dagster_home
from alert_pipelines_tests.defs.conftest import daemons_tick
from alert_pipelines_tests.factories import alert, fill

_PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
_ANSWERS = re.findall(r"^```console\n\$ alert-pipelines (.+)\n((?:.*\n)*?)```$", _PAGE, re.MULTILINE)

# What differs from run to run, each with what stands for it.
_VARIES = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00": "INSTANT",
    r"[A-Z][a-z]{2} \d\d [A-Z][a-z]{2} \d\d:\d\d": "TIME",
    r"\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d UTC": "TIME",
    r"in \d+ (?:min|s)\b|\bnow(?=\.$)": "AGE",
    r"(?:JOB|SNOOZE)-[\w-]+": "ID",
    r"\b[0-9a-f]{12}\b": "VERSION",
    r"took: \d+\.\d{3} s": "SECONDS",
    r"test_[0-9a-z_]+|alert_management": "DATABASE",
    r" +": " ",
}


def _same_each_time(text: str) -> str:
    for varies, stands in _VARIES.items():
        text = re.sub(varies, stands, text)
    return text


def _fleet(now: datetime) -> list[dict[str, Any]]:
    """A small fleet's alerts, each half a minute from where its age would read differently."""

    def one(name: str, source_type: str, severity: str, minutes: int, **fields: Any) -> dict[str, Any]:
        at = now - timedelta(minutes=minutes + 0.5)
        return alert(
            name, source_type=source_type, severity=severity, timestamp=at, created_at=at, updated_at=at, **fields
        )

    speeding = [one(f"SPEED-{n}", "OVERSPEEDING", "WARNING", minutes=90 + 400 * n, driver="DRV-023") for n in range(6)]
    praise = [
        one(f"PRAISE-{n}", "FEEDBACK_POSITIVE", "INFO", minutes=190 + 500 * n, driver=f"DRV-00{n}") for n in (1, 2)
    ]
    late = one("BRAKE-1", "SAFETY", "CRITICAL", 22, driver="DRV-103", status="ESCALATED", escalated_at=now)
    permit = {"driver_id": "DRV-001", "document_type": "permit", "document_valid": False}
    return [*speeding, *praise, late, one("PERMIT-1", "COMPLIANCE", "INFO", 12_345, metadata=permit)]


MY_RULES = """
rules:
  - rule_id: overspeed-expire
    source_type: OVERSPEEDING
    conditions: {expire_after_mins: 1200, max_close: 2}
"""


def _a_day_of_the_past() -> list[dict[str, Any]]:
    """What was done to three alerts on 1 March 2026."""

    def at(hour: int) -> datetime:
        return datetime(2026, 3, 1, hour, tzinfo=UTC)

    def one(hour: int, to: str, by: str, rule_id: str | None = None) -> dict[str, Any]:
        change = {"from_status": "OPEN", "to_status": to, "timestamp": at(hour), "triggered_by": by}
        history = [change | {"rule_triggered": rule_id, "job_id": "JOB-OF-THE-PAST"}]
        return alert(timestamp=at(1), created_at=at(1), status="RESOLVED", driver="DRV-023", state_history=history)

    closed = [one(hour, "AUTO_CLOSED", "system", "overspeed-expire") for hour in (4, 20)]
    return [*closed, one(9, "RESOLVED", "ada")]


def _prepare(db: AlertDatabase) -> str:
    """A fleet whose default rules have made one scan; the version of a rule set that they replaced."""
    publish_rules(db, default_rules())
    rules = load_rules(db).rule_set.active
    earlier = RuleSet.of([one for one in rules if one.rule_id != "overspeed"])
    keep_version(db, earlier)
    now = datetime.now(UTC)
    old = now - timedelta(days=3)
    due = alert("SPEED-OLD", timestamp=old, created_at=old, updated_at=old, driver="DRV-042")
    fill(db, [*_fleet(now), due, *_a_day_of_the_past()])
    run_scan(db, ScanRequest())
    snooze_alert(db, "PERMIT-1", timedelta(hours=8), reason="workshop closed", created_by="Ada")
    return earlier.version


@contextmanager
def _dagster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Dagster instance that has the schedule, and whose daemon lives."""
    with dagster_home() as home:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with DagsterInstance.get() as instance:
            daemons_tick(instance, build_schedule("*/5 * * * *"))
            for daemon in instance.get_required_daemon_types():
                instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), daemon, "one"))
        yield


def _of_the_page(command: str, answer: str) -> Any:
    # Dagster's own processes load the code location.
    marks = [pytest.mark.process] if command.startswith("schedule ") else []
    return pytest.param(command, answer, marks=marks, id=command)


@pytest.mark.parametrize(("command", "answer"), [_of_the_page(*shown) for shown in _ANSWERS])
def test_an_answer_of_the_page_is_what_the_command_prints(
    run: Run, db: AlertDatabase, environment: Path, monkeypatch: pytest.MonkeyPatch, *, command: str, answer: str
) -> None:
    (environment / "my_rules.yaml").write_text(MY_RULES)
    version = _prepare(db)
    arguments = [{"VERSION": version}.get(word, word) for word in shlex.split(command)]
    with _dagster(monkeypatch) if command.startswith("schedule ") else nullcontext():
        assert _same_each_time(run(*arguments).stdout) == _same_each_time(answer)
