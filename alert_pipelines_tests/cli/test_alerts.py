"""`alerts list` and `pending` as people and programs read them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.timestamps import as_age
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import AS_OF, alert, fill


def before(**ago: float) -> datetime:
    return datetime.now(UTC) - timedelta(**ago)


def test_a_list_has_25_alerts_at_most_and_says_how_many_there_are(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(f"A{n}", timestamp=before(hours=n, minutes=30)) for n in range(30)])
    lines = run("alerts", "list").stdout.splitlines()
    assert lines[0] == "25 of 30 pending alerts, the newest first; --limit shows more:"
    assert lines[3].split()[:4] == ["A0", "OVERSPEEDING", "WARNING", "OPEN"]
    assert len(lines) == 3 + 25 + 2
    assert run("alerts", "list", "--limit", "30").stdout.startswith("30 of 30 pending alerts, the newest first:\n")
    oldest = run("alerts", "list", "--older-than", "20h", "--limit", "1").stdout.splitlines()
    assert oldest[0] == "1 of 10 pending alerts, the oldest first; --limit shows more:"
    assert oldest[3].startswith("A29 ")


def test_a_status_is_asked_for_in_either_case_and_any_is_all(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert("A"), alert("B", status="RESOLVED")])
    assert "1 of 1 alerts" in run("alerts", "list", "--status", "resolved").stdout
    assert "2 of 2 alerts" in run("alerts", "list", "--status", "ANY").stdout
    assert run("alerts", "list", "--source", "NONE").stdout == "No such alerts.\n"


def test_a_list_as_json_has_whole_timestamps(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert("A")])
    told = json.loads(run("alerts", "list", "--json").stdout)
    assert (told["total"], told["alerts"][0]["timestamp"]) == (1, (AS_OF - timedelta(minutes=30)).isoformat())


def test_pending_alerts_are_one_line_a_source(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(timestamp=before(hours=30)), alert(timestamp=before(minutes=9), source_type="SAFETY")])
    lines = run("pending").stdout.splitlines()
    assert lines[0].startswith(f"2 pending alerts in {db.name}, 0 of them escalated, as of ")
    assert lines[2].split("  ")[-1] == "oldest"
    assert lines[3].split() == ["OVERSPEEDING", "1", "0", "0", "0", "1", "0", "1", "d", "6", "h"]
    assert json.loads(run("pending", "--json").stdout)["sources"][1]["source_type"] == "SAFETY"


def test_alerts_without_a_date_get_a_column_and_a_line_that_says_so(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(timestamp="soon")])
    out = run("pending").stdout
    assert "no date" in out
    assert "Pending without a date: 1. No rule can decide these" in out


def test_only_the_largest_of_many_sources_are_shown(run: Run, db: AlertDatabase) -> None:
    fill(db, [alert(source_type=f"S{n}") for n in range(30)])
    assert "5 more sources, with fewer: --json lists all." in run("pending").stdout


def test_nothing_pending_is_one_line(run: Run) -> None:
    assert len(run("pending").stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0, "now"),
        (0.5, "30 s"),
        (59, "59 min"),
        (60, "1 h 0 min"),
        (1439, "23 h 59 min"),
        (1440, "1 d 0 h"),
        (-90, "in 1 h 30 min"),
    ],
)
def test_an_age_has_two_units(minutes: float, said: str) -> None:
    assert as_age(AS_OF - timedelta(minutes=minutes), AS_OF) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "now"), (20, "in 20 s"), (59.9, "in 59 s"), (60, "in 1 min"), (61, "in 1 min")]
)
def test_the_next_scan_was_in_0_min(seconds: float, said: str) -> None:
    assert as_age(AS_OF + timedelta(seconds=seconds), AS_OF) == said
