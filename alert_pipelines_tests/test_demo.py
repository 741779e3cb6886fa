"""`scripts/demo` as the README has it: on the generated week and on a file, and again."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alert_pipelines.mongo import MongoSettings, open_database
from alert_pipelines_tests.dagster_processes import dagster_home

CHECKOUT = Path(__file__).parents[1]

ALERTS = """id,at,driver
A,2026-03-01T10:00:00Z,D1
B,2026-03-01T11:30:00Z,D2
C,2026-03-01T13:00:00Z,D3
"""
MAPPING = """
format: csv
alert_id: {column: id}
source_type: {constant: OVERSPEEDING}
severity: {constant: WARNING}
timestamp: {column: at}
metadata: {driver_id: {column: driver}}
"""

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        Path(sys.prefix) != CHECKOUT / ".venv",
        reason="the script would make the environment .venv, which is not this one",
    ),
]


def demo(mongo_uri: str, *arguments: str) -> str:
    """Run the script on the test's own server and a Dagster home of its own; what it printed."""
    with dagster_home() as home:
        env = {**os.environ, "MONGODB_URI": mongo_uri, "DAGSTER_HOME": str(home), "AUTO_CLOSE_MAX_FRACTION": "0.5"}
        done = subprocess.run(
            [str(CHECKOUT / "scripts" / "demo"), *arguments],
            env=env,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record(printed: str) -> dict[str, str]:
    """The job record as the demo shows it."""
    return dict(re.findall(r"^(\w+): (.*)$", printed.partition("== What it did")[2], re.MULTILINE))


def test_the_generated_week_is_decided_and_the_demo_may_be_run_again(mongo_uri: str) -> None:
    day = datetime.now(UTC).date()
    first = demo(mongo_uri)
    assert record(first)["status"] == "completed"
    assert int(record(first)["alerts_closed"]) > 0
    assert int(record(first)["alerts_escalated"]) > 0
    incidents = first.partition("== What became of the week's incidents")[2]
    assert re.search(r"Storm at depot Bremen: .*  12 OPEN, 12 ESCALATED by safety$", incidents, re.MULTILINE)
    assert "Of them, scans report these as malformed: AWKWARD-TIMESTAMP-TEXT" in incidents
    assert "MONGODB_DATABASE=alert_pipelines_demo scripts/dev" in first
    again = demo(mongo_uri)
    if datetime.now(UTC).date() != day:
        # The ids hold the day, so that only two demos of one day have the same alerts.
        demo(mongo_uri)
        again = demo(mongo_uri)
    assert record(again)["status"] == "completed"
    assert "4013 already there" in again


def test_a_file_until_an_instant_is_loaded_and_scanned_as_of_it(mongo_uri: str, tmp_path: Path) -> None:
    files = {
        "alerts.csv": ALERTS,
        "mine.yaml": MAPPING,
        "rules.yaml": "overspeed: {expire_after_mins: 60}",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    data, mapping, rules = (str(tmp_path / name) for name in files)
    printed = demo(mongo_uri, "--data", data, "--mapping", mapping, "--rules", rules, "--until", "2026-03-01T12:00")
    assert "2 alerts inserted" in printed
    assert record(printed)["as_of"] == "2026-03-01T12:00:00+00:00"
    assert (record(printed)["alerts_processed"], record(printed)["alerts_closed"]) == ("2", "1")
    with open_database(MongoSettings(mongo_uri, "alert_pipelines_demo_mine", tmp_path)) as db:
        assert {alert["alert_id"]: alert["status"] for alert in db.alerts.find()} == {"A": "AUTO_CLOSED", "B": "OPEN"}
        db.client.drop_database(db.name)


def test_arguments_that_make_no_sense_are_answered_with_the_usage() -> None:
    done = subprocess.run(
        [str(CHECKOUT / "scripts" / "demo"), "--data", "x.csv"], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "scripts/demo --data FILE --mapping FILE" in done.stderr
