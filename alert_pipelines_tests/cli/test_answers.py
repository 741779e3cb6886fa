"""The answers that docs/cli.md shows are those that the commands give: word by word, but for times and ids."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import alert, fill

_PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
_ANSWERS = re.findall(r"^```console\n\$ alert-pipelines (.+)\n((?:.*\n)*?)```$", _PAGE, re.MULTILINE)

# What differs from run to run, each with what stands for it.
_VARIES = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00": "INSTANT",
    r"[A-Z][a-z]{2} \d\d [A-Z][a-z]{2} \d\d:\d\d": "TIME",
    r"JOB-[\w-]+": "JOB",
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


def _prepare(db: AlertDatabase) -> None:
    publish_rules(db, default_rules())
    fill(db, _fleet(datetime.now(UTC)))


@pytest.mark.parametrize(("command", "answer"), _ANSWERS, ids=[command for command, _ in _ANSWERS])
def test_an_answer_of_the_page_is_what_the_command_prints(
    run: Run, db: AlertDatabase, environment: Path, command: str, answer: str
) -> None:
    (environment / "my_rules.yaml").write_text(MY_RULES)
    _prepare(db)
    assert _same_each_time(run(*shlex.split(command)).stdout) == _same_each_time(answer)
