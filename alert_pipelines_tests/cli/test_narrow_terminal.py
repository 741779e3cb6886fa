"""On a terminal of 80 columns each table fits, and nothing is left out of it."""

import fcntl
import os
import pty
import struct
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alert_pipelines.cli import output
from alert_pipelines.cli.output import print_table, terminal_width
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.maintenance import snooze_alert
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import alert, fill

ID = "WEEK-20261129-1-{:05}"


def _prepare(db: AlertDatabase) -> None:
    publish_rules(db, default_rules())
    now = datetime.now(UTC)
    ages = [timedelta(minutes=minutes) for minutes in (5, 10, 20, 300, 5000, 6000)]
    alerts = [
        alert(ID.format(n), timestamp=now - age, created_at=now - age, updated_at=now - age, driver="DRV-023")
        for n, age in enumerate(ages)
    ]
    fill(db, alerts)
    run_scan(db, ScanRequest())
    snooze_alert(db, ID.format(0), timedelta(hours=8), reason="driver is on the phone", created_by="night shift")


@pytest.mark.parametrize(
    "command", ["rules list", "rules history", "jobs list", "alerts list", "windows list", "report", "pending"]
)
def test_a_table_was_wider_than_the_terminal(
    run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    _prepare(db)
    wide = run(*command.split()).stdout
    monkeypatch.setattr(output, "terminal_width", lambda: 80)
    narrow = run(*command.split()).stdout
    # The first line of some commands is a sentence, which the terminal itself wraps.
    assert max(map(len, narrow.splitlines()[1:])) <= 80
    if command != "pending":
        assert max(map(len, wide.splitlines())) > 80
    said, told = ({word.rstrip(":;") for word in text.split()} for text in (wide, narrow))
    # Only what is empty is not said again below a row. Ages may differ by the time between both.
    assert {word for word in said if not word[0].isdigit()} - {"-"} <= told


def test_an_id_was_cut_before_it_differs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: 20)
    ids = ["JOB-20261129-165503-08ceff46", "JOB-20261129-165503-08ceff47"]
    print_table(["job", "alerts", "why"], [(ids[0], 1, "two words"), (ids[1], 22, None)])
    assert capsys.readouterr().out.splitlines() == [
        "job",
        ids[0],
        "    alerts: 1; why:",
        "    two words",
        ids[1],
        "    alerts: 22",
    ]


def test_a_file_or_a_pipe_takes_lines_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
    with os.fdopen(ours), os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setattr("sys.__stdout__", terminal)
        assert terminal_width() == 72
    with Path(os.devnull).open("w") as file:
        monkeypatch.setattr("sys.stdout", file)
        assert terminal_width() is None
