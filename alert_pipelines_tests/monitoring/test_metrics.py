"""The numbers for Prometheus: what they say, and that the alert rules and the dashboard ask for what there is."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from alert_pipelines.errors import MetricsError
from alert_pipelines.extras import how_to_install
from alert_pipelines.job_records import SCANNER, create_job_record, fail_stalled_jobs
from alert_pipelines.mongo import AlertDatabase, MongoSettings
from alert_pipelines.mongo.client import connect, server_now
from alert_pipelines.monitoring.metrics import registry_of, serve_metrics, write_metrics
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import alert, fill, rule
from alert_pipelines_tests.patience import LIMIT_S, wait_until

CHECKOUT = Path(__file__).parents[2]
RULES = CHECKOUT / "deploy" / "prometheus" / "alert_pipelines.rules.yaml"
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "alert_pipelines.json"
DOCS = CHECKOUT / "docs" / "metrics.md"

Numbers = dict[str, dict[tuple[str, ...], float]]


def exported(text: str) -> Numbers:
    """The values by metric, each by the values of its labels, which come in the order of their names."""
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def numbers(db: AlertDatabase, directory: Path) -> Numbers:
    write_metrics(db, directory / "scanner.prom")
    return exported((directory / "scanner.prom").read_text())


def scan_some(db: AlertDatabase) -> str:
    """Two of OVERSPEEDING to close, of three; one that cannot be handled."""
    old = datetime.now(UTC) - timedelta(hours=5)
    fill(
        db,
        [alert(timestamp=old), alert(timestamp=old), alert(timestamp=old, state_history="text")],
        rule("old", {"expire_after_mins": 60}),
    )
    return run_scan(db, ScanRequest()).job_id


def test_they_are_those_of_the_last_scans_record(db: AlertDatabase, tmp_path: Path) -> None:
    record = db.background_jobs.find_one({"job_id": scan_some(db)})
    assert record is not None
    found = numbers(db, tmp_path)

    def last(name: str) -> float:
        return found[f"alert_pipelines_last_scan_{name}"][()]

    assert found["alert_pipelines_up"] == {(): 1}
    assert [last(name) for name in ("completed", "pending", "closed", "escalated", "errors")] == [1, 3, 2, 0, 1]
    assert last("duration_seconds") == record["execution_time_ms"] / 1000
    assert last("oldest_pending_age_seconds") == pytest.approx(5 * 3600, abs=60)
    assert last("start_timestamp_seconds") == record["started_at"].timestamp()
    assert 0 <= found["alert_pipelines_seconds_since_completed_scan"][()] < 60
    assert found["alert_pipelines_completed_scan_timestamp_seconds"][()] == record["completed_at"].timestamp()
    assert found["alert_pipelines_scan_running"] == {(): 0}
    assert found["alert_pipelines_decisions_last_day"] == {("close", "old", "OVERSPEEDING"): 2}
    records = found["alert_pipelines_job_records_last_day"]
    assert {labels: number for labels, number in records.items() if number} == {("auto_close_scanner", "completed"): 1}
    assert ("auto_close_scanner", "failed") in records


def test_a_failed_scan_shows_and_the_last_completed_one_goes_on_ageing(db: AlertDatabase, tmp_path: Path) -> None:
    scan_some(db)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    db.background_jobs.update_one({}, {"$set": {"started_at": hour_ago, "completed_at": hour_ago}})
    failed = {
        "job_type": "auto_close_scanner",
        "status": "failed",
        "started_at": datetime.now(UTC),
        "errors": ["a", "b"],
        "errors_total": 2,
    }
    db.background_jobs.insert_one(failed | {"job_id": "F"})
    create_job_record(SCANNER, db)
    found = numbers(db, tmp_path)
    assert found["alert_pipelines_last_scan_completed"] == {(): 0}
    assert found["alert_pipelines_last_scan_errors"] == {(): 2}
    assert "alert_pipelines_last_scan_pending" not in found, "a record that does not say it"
    assert found["alert_pipelines_seconds_since_completed_scan"][()] == pytest.approx(3600, abs=60)
    assert found["alert_pipelines_scan_running"] == {(): 1}


def test_without_any_scan_the_time_since_is_infinite(db: AlertDatabase, tmp_path: Path) -> None:
    found = numbers(db, tmp_path)
    assert found["alert_pipelines_seconds_since_completed_scan"] == {(): float("inf")}
    assert not [name for name in found if "last_scan" in name]


def test_a_scan_with_nothing_pending_has_no_old_alert(db: AlertDatabase, tmp_path: Path) -> None:
    run_scan(db, ScanRequest())
    assert numbers(db, tmp_path)["alert_pipelines_last_scan_oldest_pending_age_seconds"] == {(): 0}


def test_an_alert_whose_timestamp_is_an_array_does_not_hide_how_old_the_others_are(
    db: AlertDatabase, tmp_path: Path
) -> None:
    age = "alert_pipelines_last_scan_oldest_pending_age_seconds"
    long_ago = datetime.now(UTC) - timedelta(days=50)
    db.alerts.insert_one(alert("odd", timestamp=[long_ago]))
    run_scan(db, ScanRequest())
    assert age not in numbers(db, tmp_path), "no age can be told"
    db.alerts.insert_one(alert("old", timestamp=long_ago))
    run_scan(db, ScanRequest())
    assert numbers(db, tmp_path)[age][()] == pytest.approx(50 * 24 * 3600, abs=60)


def test_no_number_is_negative_where_timestamps_lie_ahead_or_the_servers_clock_was_set_back(
    db: AlertDatabase, tmp_path: Path
) -> None:
    db.alerts.insert_one(alert("clock", timestamp=datetime(2106, 2, 7, tzinfo=UTC)))
    run_scan(db, ScanRequest())
    assert "alert_pipelines_last_scan_oldest_pending_age_seconds" not in numbers(db, tmp_path), "no age can be told"
    db.alerts.insert_one(alert("now", timestamp=datetime.now(UTC)))
    job_id = run_scan(db, ScanRequest()).job_id
    set_back = {"completed_at": datetime.now(UTC) + timedelta(hours=1), "execution_time_ms": -3_600_000}
    db.background_jobs.update_one({"job_id": job_id}, {"$set": set_back})
    negative = {name: by for name, by in numbers(db, tmp_path).items() if any(number < 0 for number in by.values())}
    assert negative == {}


def test_a_scan_that_was_broken_off_does_not_say_that_nothing_is_pending(
    db: AlertDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("alert_pipelines.scanner.scan.find_violations", cancelled)
    db.alerts.insert_one(alert())
    with pytest.raises(KeyboardInterrupt):
        run_scan(db, ScanRequest())
    found = numbers(db, tmp_path)
    assert found["alert_pipelines_last_scan_completed"] == {(): 0}
    assert "alert_pipelines_last_scan_pending" not in found


def test_what_a_scan_decided_before_it_was_broken_off_is_in_the_sums_by_rule(db: AlertDatabase, tmp_path: Path) -> None:
    job_id = create_job_record(SCANNER, db).job_id
    entry = {"job_id": job_id, "triggered_by": "system", "rule_triggered": "r", "to_status": "AUTO_CLOSED"}
    db.alerts.insert_one({"alert_id": "1", "source_type": "SAFETY", "state_history": [entry]})
    over = {"lease_expires_at": server_now(db) - timedelta(seconds=1)}
    db.background_jobs.update_one({"job_id": job_id}, {"$set": over})
    fail_stalled_jobs(db)
    decisions = numbers(db, tmp_path)["alert_pipelines_decisions_last_day"]
    assert decisions == {("close", "r", "SAFETY"): 1}


def test_a_database_that_is_away_is_said_in_a_number(tmp_path: Path) -> None:
    settings = MongoSettings("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50", "none", tmp_path)
    with connect(settings) as client:
        assert numbers(client["none"], tmp_path) == {"alert_pipelines_up": {(): 0}}


def test_what_they_ask_follows_the_last_day_and_not_the_years(db: AlertDatabase) -> None:
    """2,000 scans of the past are not looked at for the sums of a day."""
    ago = datetime.now(UTC) - timedelta(days=40)
    old: list[dict[str, Any]] = [
        {
            "job_id": str(n),
            "job_type": "auto_close_scanner",
            "status": "completed",
            "started_at": ago - timedelta(minutes=n),
        }
        for n in range(2_000)
    ]
    db.background_jobs.insert_many(old)
    scan_some(db)
    db.command("profile", 2)
    list(registry_of(db).collect())
    db.command("profile", 0)
    asked = list(db["system.profile"].find({"ns": f"{db.name}.background_jobs", "op": {"$in": ["query", "command"]}}))
    assert len(asked) >= 4
    assert max(one["docsExamined"] for one in asked) <= 2


def test_they_are_served_until_told_to_stop(db: AlertDatabase) -> None:
    scan_some(db)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        with pytest.raises(MetricsError, match=f"cannot listen on 127.0.0.1:{port}: .* Choose another --port"):
            serve_metrics(db, "127.0.0.1", port, Event())
    stop = Event()
    server = Thread(target=serve_metrics, args=(db, "127.0.0.1", port, stop))
    server.start()
    try:
        text = wait_until(lambda: fetch(port), "an answer")
    finally:
        stop.set()
        server.join()
    assert exported(text)["alert_pipelines_last_scan_closed"] == {(): 2}
    assert fetch(port) is None


def fetch(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def test_the_command_serves_and_ends_when_it_is_interrupted(db: AlertDatabase, mongo_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "alert_pipelines", "metrics", "serve", "--port", str(port)]
    env = {**os.environ, "MONGODB_URI": mongo_uri, "MONGODB_DATABASE": db.name}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        text = wait_until(lambda: fetch(port), "an answer")
        process.send_signal(2)
        _, log = process.communicate(timeout=LIMIT_S)
    assert "alert_pipelines_up 1.0" in text
    assert process.returncode == 0
    assert f"Serving metrics at http://127.0.0.1:{port}/metrics" in log


def test_without_the_client_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; from alert_pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "metrics", "write", str(tmp_path / "x.prom")],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: prometheus_client is not installed. Install it with {how_to_install('metrics')}\n"


def test_a_text_file_does_not_go_on_saying_that_all_is_well_when_the_database_is_away(tmp_path: Path) -> None:
    file = tmp_path / "scanner.prom"
    file.write_text("alert_pipelines_up 1.0\n")
    env = {**os.environ, "MONGODB_URI": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50"}
    command = [sys.executable, "-m", "alert_pipelines", "metrics", "write", str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 1
    assert "Check that it runs" in done.stderr
    assert exported(file.read_text()) == {"alert_pipelines_up": {(): 0}}


def test_a_file_that_cannot_be_written_is_named(db: AlertDatabase, tmp_path: Path) -> None:
    with pytest.raises(MetricsError, match=r"cannot write .*nowhere"):
        write_metrics(db, tmp_path / "nowhere" / "scanner.prom")


@pytest.fixture
def there_is(db: AlertDatabase, tmp_path: Path) -> set[str]:
    """The metrics that are exported after a scan."""
    scan_some(db)
    return set(numbers(db, tmp_path))


def test_the_page_names_every_metric_and_no_other(there_is: set[str]) -> None:
    assert set(re.findall(r"^\| `(alert_pipelines_\w+)`", DOCS.read_text(), re.MULTILINE)) == there_is


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\balert_pipelines_\w+", expression))


def test_the_alert_rules_ask_for_what_is_exported(there_is: set[str]) -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    names = [one["alert"] for one in group["rules"]]
    assert len(set(names)) == len(names) > 3
    for one in group["rules"]:
        assert metrics_in(one["expr"]), one["alert"]
        assert metrics_in(one["expr"]) <= there_is, one["alert"]
        assert set(one["annotations"]) == {"summary", "description"}
        assert one["labels"]["severity"] in {"critical", "warning", "info"}


def test_each_panel_of_the_dashboard_asks_for_what_is_exported(there_is: set[str]) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    (variable,) = dashboard["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 5
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["datasource"]["uid"] == f"${{{variable['name']}}}"
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel["targets"]:
            assert metrics_in(target["expr"]), panel["title"]
            assert metrics_in(target["expr"]) <= there_is, panel["title"]
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert label in {"rule", "source", "decision", "job_type", "status"}
