"""The files for Prometheus and Grafana, tried on what reads them: a real Prometheus, and Grafana's own model."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.monitoring.metrics import serve_metrics
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.dagster_processes import CHECKOUT, answers
from alert_pipelines_tests.factories import alert, fill, rule
from alert_pipelines_tests.patience import LIMIT_S, wait_until
from alert_pipelines_tests.ports import free_port
from alert_pipelines_tests.process_groups import end_group

RULES = CHECKOUT / "deploy" / "prometheus" / "alert_pipelines.rules.yaml"
DASHBOARD = json.loads((CHECKOUT / "deploy" / "grafana" / "alert_pipelines.json").read_text())
EXPRESSIONS = sorted({target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]})

Ask = Callable[..., Any]


@pytest.fixture
def ask(db: AlertDatabase, tmp_path: Path) -> Iterator[Ask]:
    """A Prometheus that scrapes `db`'s numbers every second under our alerting rules: a question to its API."""
    old = datetime.now(UTC) - timedelta(hours=5)
    broken = alert(timestamp=old, state_history="text")
    fill(db, [alert(timestamp=old), broken], rule("old", {"expire_after_mins": 60}))
    run_scan(db, ScanRequest())
    numbers_at, listens_at = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "alert_pipelines", "static_configs": [{"targets": [f"127.0.0.1:{numbers_at}"]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    stop = threading.Event()
    server = threading.Thread(target=serve_metrics, args=(db, "127.0.0.1", numbers_at, stop))
    command = [
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{listens_at}",
    ]
    with ExitStack() as stack:
        server.start()
        stack.callback(server.join)
        stack.callback(stop.set)
        log = stack.enter_context((tmp_path / "prometheus.log").open("w"))
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        stack.callback(end_group, process)
        url = f"http://127.0.0.1:{listens_at}"
        wait_until(lambda: answers(f"{url}/-/ready", process), "Prometheus")

        def question(what: str, **parameters: str) -> Any:
            with urlopen(f"{url}/api/v1/{what}?{urlencode(parameters)}", timeout=LIMIT_S) as answer:
                return json.load(answer)["data"]

        wait_until(lambda: question("query", query="alert_pipelines_up")["result"], "the first numbers")
        yield question


@pytest.mark.process
@pytest.mark.needs("prometheus")
def test_prometheus_loads_the_rules_and_each_panel_of_the_dashboard_has_an_answer(ask: Ask) -> None:
    def as_expected() -> bool:
        (group,) = ask("rules")["groups"]
        states = {one["name"]: (one["health"], one["state"]) for one in group["rules"]}
        # It waits for half an hour before it tells anybody.
        return states.pop("AlertScanErrors") == ("ok", "pending") and set(states.values()) == {("ok", "inactive")}

    def answer(expression: str) -> Any:
        return ask("query", query=expression)["result"]

    # A scrape that takes too long makes a rule pending, or an answer empty, until the next one.
    wait_until(as_expected, "the rule on errors, and no other")
    for expression in EXPRESSIONS:
        wait_until(partial(answer, expression), expression)


MISSED = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: alert_pipelines_completed_scan_timestamp_seconds
        # Scans complete until the tenth minute, then no more.
        values: "0+60x10 600x30"
      - series: alert_pipelines_up
        values: "1x40"
    alert_rule_test:
      - {{eval_time: 24m, alertname: AlertScanMissed, exp_alerts: []}}
      - eval_time: 27m
        alertname: AlertScanMissed
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations: {annotations}
"""


@pytest.mark.needs("promtool")
def test_a_quarter_of_an_hour_without_a_scan_is_told_and_less_is_not(tmp_path: Path) -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    (missed,) = [one for one in group["rules"] if one["alert"] == "AlertScanMissed"]
    test = tmp_path / "missed.yaml"
    test.write_text(MISSED.format(rules=RULES, annotations=json.dumps(missed["annotations"])))
    done = subprocess.run(
        ["promtool", "test", "rules", test], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


def unknown(given: Any, read: Any, at: str = "") -> Iterator[str]:
    """Where `read` lacks, or has otherwise, what was `given`."""
    if isinstance(given, dict) and isinstance(read, dict):
        for name, value in given.items():
            yield from unknown(value, read.get(name), f"{at}.{name}")
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for number, (one, other) in enumerate(zip(given, read, strict=True)):
            yield from unknown(one, other, f"{at}[{number}]")
    elif given != read:
        yield f"{at}: {given!r}, read as {read!r}"


def test_grafanas_own_model_reads_the_dashboard_and_knows_all_that_is_in_it() -> None:
    # Each kind of query has a model of its own.
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(DASHBOARD), cls=JSONEncoder))
    assert list(unknown(DASHBOARD, read)) == []
    misspelt = DASHBOARD | {"refrehs": "1m"}
    assert list(unknown(misspelt, json.loads(json.dumps(Dashboard.from_json(misspelt), cls=JSONEncoder))))
