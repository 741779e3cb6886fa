import json
import logging
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import pytest

from alert_pipelines.cli.root import _COMMANDS, cli
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.scanner import readings
from alert_pipelines_tests.cli.conftest import MAPPING, Run
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, stored
from alert_pipelines_tests.patience import LIMIT_S

_CHECKOUT = Path(__file__).parents[2]
_SCRIPT = Path(sys.executable).with_name("alert-pipelines")


def test_the_console_script_scans(environment: Path, db: AlertDatabase) -> None:
    fill(db, [alert("A", minutes=100)], rule("old", {"expire_after_mins": 60}))
    command = [str(_SCRIPT), "scan", "--as-of", AS_OF.isoformat(), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert json.loads(done.stdout)["decisions"][0]["alerts"] == 1
    assert "Evaluating 1 pending alerts" in done.stderr
    assert stored(db, "A")["status"] == "AUTO_CLOSED"


def test_python_m_is_the_same_command(environment: Path) -> None:
    command = [sys.executable, "-m", "alert_pipelines", "jobs", "show", "JOB-X"]
    env = {**os.environ, "PYTHONPATH": str(_CHECKOUT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: no job record 'JOB-X' in \S+: .*\n", done.stderr)


def test_no_command_imports_what_makes_a_start_slow() -> None:
    modules = ", ".join(f"alert_pipelines.cli.{name.replace('-', '_')}" for name in _COMMANDS)
    slow = "{'dagster', 'pandas', 'numpy', 'matplotlib'}"
    code = f"import sys, {modules}; sys.exit(str({slow} & sys.modules.keys()) if {slow} & sys.modules.keys() else 0)"
    subprocess.run([sys.executable, "-c", code], cwd=_CHECKOUT, timeout=LIMIT_S, check=True)


_NEEDS_DAGSTER = {"dagster", "pandas", "numpy", "matplotlib", "alembic", "sqlalchemy", "grpc"}


@pytest.mark.parametrize(
    ("arguments", "not_loaded"),
    [
        ("--help", _NEEDS_DAGSTER | {"pymongo", "pydantic", "yaml", "dateutil"}),
        ("--version", _NEEDS_DAGSTER | {"pymongo", "pydantic", "yaml", "dateutil"}),
        ("doctor --help", _NEEDS_DAGSTER),
        ("schedule --help", _NEEDS_DAGSTER),
        ("schedule on --help", _NEEDS_DAGSTER),
    ],
)
def test_help_loaded_dagster_for_two_of_its_lines_and_the_driver_for_most(arguments: str, not_loaded: set[str]) -> None:
    code = (
        "import sys\nfrom alert_pipelines.cli import main\n"
        f"sys.argv[1:] = {arguments.split()}\ntry:\n    main()\n"
        f"finally:\n    print('loaded:', *sorted({not_loaded} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_CHECKOUT, timeout=LIMIT_S, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "loaded:"
    assert len(done.stdout.splitlines()) > 1


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    context = click.Context(cli, terminal_width=80)
    root = context.command
    assert isinstance(root, click.Group)
    said = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", root.get_help(context).partition("Commands:")[2], re.MULTILINE))
    own = {name: root.get_command(context, name) for name in root.list_commands(context)}
    assert said == {name: command.get_short_help_str(80) for name, command in own.items() if command}


def test_every_command_has_help(run: Run) -> None:
    overview = run("--help").stdout
    for command in _COMMANDS:
        assert re.search(rf"^  {command} +\S", overview, re.MULTILINE)
        assert "Usage: alert-pipelines" in run(command, "--help").stdout


def test_an_error_of_the_project_is_one_line_on_stderr(run: Run) -> None:
    result = run("explain", "NOBODY", code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: no alert 'NOBODY'")
    assert result.stderr.count("\n") == 1


def test_a_server_that_is_away_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    result = run("jobs", "list", code=1)
    assert result.stderr.startswith("Error: the MongoDB server of MONGODB_URI cannot be used")
    assert result.stderr.count("\n") == 1


def test_a_failure_of_the_driver_shows_no_traceback(run: Run, db: AlertDatabase) -> None:
    # No job record passes.
    db.command("collMod", "background_jobs", validator={"no_such_field": {"$exists": True}})
    result = run("scan", code=1)
    assert result.stderr.splitlines()[-1].startswith("Error: MongoDB failed: ")
    assert "Traceback" not in result.output


def test_wrong_usage_exits_with_2(run: Run) -> None:
    run("no-such-command", code=2)
    run("scan", "--as-of", "yesterday", code=2)
    run("load", "missing.csv", "--mapping", "missing.yaml", code=2)


@pytest.mark.parametrize("text", ["2026-03-01T12:00", "2026-03-01T12:00Z", "2026-03-01T17:45+05:45"])
def test_an_as_of_is_read_in_utc(run: Run, text: str) -> None:
    assert "dry run as of 2026-03-01T12:00:00+00:00" in run("scan", "--dry-run", "--as-of", text).stdout


@pytest.mark.parametrize("text", ["1.3.2026", "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_an_as_of_that_is_no_instant_is_wrong_usage(run: Run, text: str) -> None:
    error = run("scan", "--as-of", text, code=2).stderr.splitlines()[-1]
    assert error.startswith("Error: Invalid value for '--as-of': ")
    assert "is not a valid time" in error


@pytest.mark.parametrize("command", [("scan", "--as-of"), ("backtest",), ("indexes", "advise", "--as-of")])
def test_a_date_too_early_to_look_back_from_is_one_line(run: Run, command: tuple[str, ...]) -> None:
    assert run(*command, "0001-01-01", code=1).stderr.endswith("give one of the years 1000 to 8999\n")


@pytest.mark.parametrize(
    ("command", "then"), [("report", "report on today or on a day before"), ("backtest", "back-test days up to ")]
)
def test_of_a_day_in_the_future_it_was_not_said_that_it_is(
    run: Run, db: AlertDatabase, environment: Path, command: str, then: str
) -> None:
    today = server_now(db).date()
    for day in (today + timedelta(days=1), date(8999, 12, 31)):
        error = run(command, str(day), code=1).stderr
        assert error.startswith(f"Error: {day} lies in the future (the server's clock says {today} ")
        assert then in error
        assert error.count("\n") == 1
    assert list(environment.iterdir()) == []


@pytest.mark.parametrize("day", ["0001-01-01", "0999-12-31", "9000-01-01", "9999-12-31"])
def test_a_report_on_a_day_outside_the_calendar_is_one_line(run: Run, day: str) -> None:
    error = run("report", day, code=1).stderr
    assert error == f"Error: day {day}: give one of the years 1000 to 8999\n"


def test_a_report_could_not_be_asked_for_without_a_day(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(timestamp=datetime.now(UTC))])
    today = json.loads(run("report", "--json").stdout)
    assert {row["day"] for row in today["day_by_day"]} >= {server_now(db).date().isoformat()}
    shown = run("report").stdout
    assert "\nPending now:\n" in shown
    assert "By rule" not in shown


@pytest.mark.parametrize("day", ["1.3.2026", "2026-02-30", "2026-03-01T12:00", ""])
@pytest.mark.parametrize("command", ["report", "backtest"])
def test_a_day_that_is_not_a_date_was_told_a_format_of_strptime(run: Run, command: str, day: str) -> None:
    error = run(command, day, code=2).stderr.splitlines()[-1]
    assert error.endswith(f"{day!r} is not a valid day: expected a date such as 2026-03-01.")


def test_a_report_on_the_first_day_that_may_be_asked_for(run: Run) -> None:
    assert "What was done" in run("report", "1000-01-01", "--days", "366").stdout


@pytest.mark.parametrize(
    ("out", "reason"), [("/proc/nope", "No such file or directory"), ("file/reports", "Not a directory")]
)
def test_a_report_that_cannot_be_written_is_one_line(run: Run, environment: Path, out: str, reason: str) -> None:
    (environment / "file").touch()
    error = run("report", "2026-03-01", "--out", out, code=1).stderr
    assert error.splitlines()[-1].startswith(f"Error: {out}/2026-03-01/report.html cannot be written: {reason}. ")


@pytest.mark.parametrize(
    ("html", "reason"),
    [("none/x.html", "No such file or directory"), ("/proc/nope", "No such file"), ("file/x.html", "Not a directory")],
)
def test_a_page_that_cannot_be_written_is_one_line_before_any_day_is_computed(
    run: Run, environment: Path, monkeypatch: pytest.MonkeyPatch, html: str, reason: str
) -> None:
    (environment / "file").touch()
    monkeypatch.setattr("alert_pipelines.backtesting.backtest.backtest_day", None)
    error = run("backtest", "2026-03-01", "--html", html, code=1).stderr
    assert error.splitlines()[-1].startswith(f"Error: {html} cannot be written: {reason}")


def test_a_backtest_that_fails_leaves_the_page_as_it_was(run: Run, environment: Path) -> None:
    link = environment / "link.html"
    link.symlink_to("none.html")
    run("backtest", "8999-12-30", "--html", "link.html", code=1)
    assert link.is_symlink()
    assert not link.exists()
    page = environment / "x.html"
    for before in (None, "the page of before"):
        if before:
            page.write_text(before)
        run("backtest", "8999-12-30", "--html", "x.html", code=1)
        assert (page.read_text() if page.exists() else None) == before


@pytest.mark.parametrize("step", ["1441", "100000000000000000"])
def test_a_step_longer_than_a_day_is_wrong_usage(run: Run, step: str) -> None:
    assert "is not in the range 1<=x<=1440" in run("backtest", "2026-03-01", "--step-mins", step, code=2).stderr


def test_a_last_day_that_is_not_over_is_refused_before_any_day_is_computed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[object] = []
    monkeypatch.setattr("alert_pipelines.backtesting.backtest.alert_snapshot", lambda *given: computed.append(given))
    today = datetime.now(UTC).date()
    error = run("backtest", f"{today - timedelta(days=2)}", f"{today}", code=1).stderr
    assert f"{today} is not over" in error
    assert f"back-test days up to {today - timedelta(days=1)}" in error
    assert computed == []


def test_days_are_listed_from_the_first_to_the_last(run: Run) -> None:
    days = json.loads(run("backtest", "2026-02-27", "2026-03-01", "--json").stdout)
    assert [one["day"] for one in days] == ["2026-02-27", "2026-02-28", "2026-03-01"]


@pytest.mark.parametrize(
    "command", [("explain",), ("history",), ("undo",), ("jobs", "show"), ("metrics", "serve", "--host")]
)
def test_an_argument_that_is_no_utf_8_is_wrong_usage(run: Run, command: tuple[str, ...]) -> None:
    error = run(*command, os.fsdecode(b"\xff"), code=2).stderr.splitlines()[-1]
    assert error.endswith(r"'\udcff' is not valid UTF-8 text")


def test_a_file_name_that_is_no_utf_8_is_printed_all_the_same(run: Run, environment: Path) -> None:
    out = run("report", "2026-03-01", "--out", os.fsdecode(b"\xff")).stdout
    assert "Written: \ufffd/2026-03-01/report.html" in out
    (environment / "m.yaml").write_text(MAPPING)
    name = os.fsdecode(b"\xff.csv")
    (environment / name).write_text("id,at\nA,never\n")
    assert "\ufffd.rejects.jsonl" in run("load", name, "--mapping", "m.yaml", code=1).stdout
    assert "Report: \ufffd.html" in run("backtest", "2026-03-01", "--html", os.fsdecode(b"\xff.html")).stdout
    assert "Written: \ufffd.prom" in run("metrics", "write", os.fsdecode(b"\xff.prom")).stdout


@pytest.mark.parametrize("encoding", ["base64", "rot13"])
def test_a_mapping_whose_encoding_is_none_of_text_is_named(run: Run, environment: Path, encoding: str) -> None:
    (environment / "m.yaml").write_text(f"encoding: {encoding}\n{MAPPING}")
    (environment / "a.csv").write_text("id,at\n")
    error = run("load", "a.csv", "--mapping", "m.yaml", code=1).stderr
    assert f"encoding: '{encoding}' is not a valid text encoding" in error


def test_quiet_logs_warnings_only_and_no_handler_stays(run: Run) -> None:
    assert "Starting auto-close alert scanner" in run("scan").stderr
    assert run("--quiet", "scan").stderr == ""
    assert logging.getLogger("alert_pipelines").handlers == []


@pytest.mark.parametrize(
    "command", ["forecast", "rules diff FILE", "scan --dry-run", "undo latest", "pending", "report", "jobs show"]
)
def test_what_only_looks_logged_the_steps_of_a_scan(
    run: Run, db: AlertDatabase, environment: Path, command: str
) -> None:
    fill(db, [alert(f"A{n}", minutes=n) for n in range(3)], rule("old", {"expire_after_mins": 1}))
    assert "Evaluating 3 pending alerts" in run("scan").stderr
    fill(db, [alert("NEW", minutes=100)])
    (environment / "FILE").write_text(
        "rules: [{rule_id: old, source_type: OVERSPEEDING, conditions: {keep_latest: true}}]"
    )
    assert run(*command.split()).stderr == ""
    assert "Starting auto-close alert scanner" in run("scan").stderr


def test_a_long_dry_run_says_how_far_it_is_unless_it_is_to_be_quiet(
    run: Run, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "SLICE", 5)
    piles = [alert(f"{n}-{driver}", minutes=n, driver=f"D{driver}") for driver in range(60) for n in range(4)]
    fill(db, piles, rule("pile", {"escalate_if_count": 3}))
    told = run("scan", "--dry-run", "--as-of", AS_OF.isoformat()).stderr.splitlines()
    assert len(told) >= 10
    assert [line for line in told if "Rule 'pile', escalate_if_count: " not in line] == []
    assert run("--quiet", "scan", "--dry-run", "--as-of", AS_OF.isoformat()).stderr == ""


def test_a_rule_that_would_have_decided_nothing_was_missing_from_the_table_of_a_backtest(
    run: Run, db: AlertDatabase
) -> None:
    db.rules.insert_one({"rule_id": "fact", "source_type": "COMPLIANCE", "conditions": {"auto_close_if": "valid"}})
    lines = run("backtest", "2026-03-01").stdout.splitlines()
    counted, said = [line.split() for line in lines if " fact " in line]
    assert counted[3:] == ["fact", "active", *["0"] * 4, "0.0", *["0"] * 2, "metadata.valid"]
    assert " ".join(said) == "on trial fact Closes COMPLIANCE alerts when metadata.valid is true."
    assert lines[-1] == "No rule would have decided anything."


def test_most_commands_were_cut_off_in_the_middle_of_their_first_sentence() -> None:
    cut = [line for line in _help_of(cli, "alert-pipelines").splitlines() if line.endswith("...")]
    assert [line for line in cut if not line.startswith("Usage: ")] == []


def _help_of(command: click.Command, name: str) -> str:
    """The help of `command` and of all commands below it, in a terminal of 80 columns."""
    context = click.Context(command, info_name=name, terminal_width=80)
    texts = [command.get_help(context)]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            texts.append(_help_of(found, below))
    return "\n".join(texts)


def test_of_a_misspelt_command_it_was_not_said_which_was_meant(run: Run) -> None:
    assert "Error: No such command 'pendin'. Did you mean 'pending'?" in run("pendin", code=2).output
    assert "Error: No such command 'zzz'." in run("zzz", code=2).output
