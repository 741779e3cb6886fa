"""On a narrow terminal each table fits, and nothing is left out of it."""

import fcntl
import os
import pty
import re
import struct
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from alert_pipelines.cli import output
from alert_pipelines.cli.output import print_table, terminal_width
from alert_pipelines.cli.table_layout import Column, table_lines
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


def at_80(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> list[str]:
    monkeypatch.setattr(output, "terminal_width", lambda: 80)
    return run(*command.split()).stdout.splitlines()


def test_a_backtest_named_the_rule_below_its_numbers(
    run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(db)
    today = datetime.now(UTC).date()
    one_day = at_80(run, monkeypatch, f"backtest {today - timedelta(days=1)}")
    assert one_day[0].startswith(f"In all rows: day {today - timedelta(days=1)}; rules on trial; mode active")
    assert sum(line.startswith("rule ") for line in one_day) == 1
    two_days = at_80(run, monkeypatch, f"backtest {today - timedelta(days=2)} {today - timedelta(days=1)}")
    assert two_days[0].startswith("In all rows: rules on trial; mode active")
    assert sum(line.startswith("day         rule ") for line in two_days) == 1
    for rule in default_rules():
        assert sum(line.startswith(f"{rule.rule_id} ") for line in one_day) == 1
        assert sum(re.match(rf"[\d-]{{10}}  {rule.rule_id} ", line) is not None for line in two_days) == 2
    assert max(map(len, one_day + two_days)) <= 80


def test_pending_broke_its_ages_in_two(run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    _prepare(db)
    fill(db, [alert("NO DATE", timestamp="soon", source_type="FEEDBACK_NEGATIVE")])
    lines = at_80(run, monkeypatch, "pending")
    [header] = [line for line in lines if line.startswith("source ")]
    assert "< 1 h  < 1 d" in header
    assert [line for line in lines if line.startswith(" ")] in ([], ["    no date: 1"])


def test_a_report_listed_its_numbers_below_each_row(
    run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(db)
    run_scan(db, ScanRequest())
    lines = at_80(run, monkeypatch, "report")
    by_source, by_day = (
        "\n".join(lines).partition(f"{name}:\n")[2].partition(":\n")[0] for name in ("By source", "Day by day")
    )
    for table in (by_source, by_day):
        assert [line for line in table.splitlines() if line.startswith("    ") and ":" in line] == []


@pytest.mark.parametrize("seed", range(40))
def test_every_table_fits_and_says_all_but_zeros(seed: int) -> None:
    random = Random(seed)
    words = ["closed", "4 h 3 min", "-", "0", "12", "overspeed", "2026-03-01", "Closes alerts when they are 2 days old"]
    rows, width = random.randint(2, 5), random.randint(40, 140)
    columns = [
        Column.of(
            [f"h{place}", *random.choices(random.sample(words, 2), k=rows)], [False] * (rows + 1), is_key=not place
        )
        for place in range(random.randint(1, 20))
    ]
    lines = list(table_lines(columns, width))
    assert max(map(len, lines)) <= width
    told = {word.rstrip(":;") for line in lines for word in line.split()}
    said = {word for column in columns for text in column.texts for word in text.split()}
    assert said - {"0", "-"} <= told


def test_rows_that_are_alike_are_all_listed() -> None:
    columns = [Column.of(["alert", *["shared"] * 2], [False] * 3), Column.of(["why", *["0123456789"] * 2], [False] * 3)]
    assert list(table_lines(columns, 12)) == ["In all rows:", "why", "0123456789", "alert", "shared", "shared"]


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
