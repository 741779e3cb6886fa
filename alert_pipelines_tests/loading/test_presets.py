"""The presets: each on a small file in the public layout of what it is for."""

import re
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.alerts import Alert
from alert_pipelines.errors import MappingError
from alert_pipelines.loading import load_alerts, load_preset, preset_names, preset_text
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.cli.conftest import Run, environment, run  # noqa: F401 - fixtures

FILES = Path(__file__).parent / "files"
PAGE = Path(__file__).parents[2] / "docs" / "presets.md"
COMMANDS = re.findall(r"^alert-pipelines (load \S+ --preset (\S+))$", PAGE.read_text(), re.MULTILINE)
SAMPLES = {
    "pagerduty": "pagerduty_incidents.csv",
    "opsgenie": "opsgenie_alerts.jsonl",
    "alertmanager": "alertmanager_webhook.json",
    "zabbix": "zabbix_events.ndjson",
    "elastic": "elastic_hits.jsonl",
}


def sample(name: str) -> Path:
    return FILES / SAMPLES.get(name, f"{name}.json")


def loaded(db: AlertDatabase, name: str) -> dict[str, dict[str, Any]]:
    report = load_alerts(db, sample(name), load_preset(name))
    assert report.rows_rejected == 0, report.reject_reasons
    alerts = {alert["alert_id"]: alert for alert in db.alerts.find()}
    for alert in alerts.values():
        Alert.model_validate(alert)
    return alerts


def statuses(alerts: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: alert["status"] for name, alert in alerts.items()}


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, tzinfo=UTC)


def test_pagerduty(db: AlertDatabase) -> None:
    alerts = loaded(db, "pagerduty")
    assert statuses(alerts) == {"P1": "RESOLVED", "P2": "OPEN", "P3": "OPEN"}
    assert {name: alert["timestamp"] for name, alert in alerts.items()} == {"P1": at(9), "P2": at(10), "P3": at(11)}
    assert all(alert["created_at"] == alert["timestamp"] for alert in alerts.values())
    assert (alerts["P1"]["resolved_at"], alerts["P2"]["updated_at"]) == (at(9, 45), at(10, 5))
    assert [alerts[name]["metadata"]["acknowledged"] for name in ("P1", "P2", "P3")] == [False, True, False]
    assert (alerts["P1"]["severity"], alerts["P2"]["severity"]) == ("CRITICAL", "WARNING")


def test_alertmanager(db: AlertDatabase) -> None:
    alerts = loaded(db, "alertmanager")
    aa11, bb22, cc33 = (alerts[name] for name in ("aa11", "bb22", "cc33"))
    assert (aa11["status"], aa11["severity"], aa11["expires_at"]) == ("OPEN", "CRITICAL", None)
    assert aa11["metadata"]["app"] == "telemetry"
    assert (bb22["status"], bb22["resolved_at"]) == ("RESOLVED", at(7, 40))
    assert (cc33["status"], cc33["severity"]) == ("OPEN", "WARNING")


def test_opsgenie(db: AlertDatabase) -> None:
    alerts = loaded(db, "opsgenie")
    assert statuses(alerts) == {"og1": "OPEN", "og2": "RESOLVED"}
    metadata = alerts["og1"]["metadata"]
    assert metadata["tags"] == ["cold", "eu"]
    assert metadata["snoozed_until"] == datetime(2026, 11, 30, 6, tzinfo=UTC)
    assert (alerts["og1"]["severity"], alerts["og2"]["severity"]) == ("CRITICAL", "INFO")


def test_zabbix(db: AlertDatabase) -> None:
    alerts = loaded(db, "zabbix")
    assert statuses(alerts) == {"501": "RESOLVED"}
    problem = alerts["501"]
    assert problem["resolved_at"] - problem["timestamp"] == timedelta(seconds=600)
    assert (problem["severity"], problem["metadata"]["host"]) == ("CRITICAL", "gw-3")


def test_zabbix_problems(db: AlertDatabase) -> None:
    alerts = loaded(db, "zabbix_problems")
    assert statuses(alerts) == {"501": "RESOLVED", "503": "OPEN"}
    ended, open_problem = alerts["501"], alerts["503"]
    assert ended["resolved_at"] - ended["timestamp"] == timedelta(seconds=600)
    assert (ended["severity"], ended["metadata"]["acknowledged"]) == ("CRITICAL", True)
    assert (open_problem["severity"], open_problem["resolved_at"]) == ("INFO", None)
    assert open_problem["metadata"] == {
        "name": "Box warm",
        "trigger_id": "15113",
        "operational_data": "9.5 C",
        "acknowledged": False,
        "suppressed": False,
    }


def test_elastic(db: AlertDatabase) -> None:
    (alert,) = loaded(db, "elastic").values()
    assert alert["timestamp"] == at(10) + timedelta(milliseconds=123)
    assert (alert["status"], alert["metadata"]) == ("OPEN", {"rule": "cpu", "host": "h1"})


def test_grafana(db: AlertDatabase) -> None:
    alerts = loaded(db, "grafana")
    assert statuses(alerts) == {"g1": "OPEN", "g2": "RESOLVED"}
    assert (alerts["g1"]["severity"], alerts["g2"]["resolved_at"]) == ("CRITICAL", at(7, 30))
    assert alerts["g1"]["metadata"]["folder"] == "Fleet"


def test_grafana_annotations(db: AlertDatabase) -> None:
    (alert,) = loaded(db, "grafana_annotations").values()
    assert (alert["alert_id"], alert["status"]) == ("7", "RESOLVED")
    assert alert["resolved_at"] - alert["timestamp"] == timedelta(seconds=4000)


def test_sentry(db: AlertDatabase) -> None:
    alerts = loaded(db, "sentry")
    assert statuses(alerts) == {"4501": "OPEN", "4502": "RESOLVED"}
    open_issue = alerts["4501"]
    assert (open_issue["timestamp"].day, open_issue["updated_at"], open_issue["severity"]) == (18, at(9), "CRITICAL")
    assert (open_issue["metadata"]["event_count"], open_issue["metadata"]["project"]) == (17, "fleet")
    assert alerts["4502"]["metadata"]["assigned_to"] == "ann@example.org"


def test_datadog(db: AlertDatabase) -> None:
    alerts = loaded(db, "datadog")
    assert statuses(alerts) == {"k-77": "RESOLVED", "k-78": "OPEN"}
    assert (alerts["k-77"]["timestamp"], alerts["k-77"]["resolved_at"]) == (at(8), at(8, 20))
    assert alerts["k-77"]["metadata"]["tags"] == ["env:prod", "monitor"]


def test_cloudwatch(db: AlertDatabase) -> None:
    report = load_alerts(db, sample("cloudwatch"), load_preset("cloudwatch"))
    assert (report.alerts_inserted, report.never_fired, report.rows_rejected) == (1, 1, 0)
    alert = db.alerts.find_one() or {}
    assert (alert["alert_id"], alert["status"]) == ("cpu-high", "RESOLVED")
    assert alert["resolved_at"] - alert["timestamp"] == timedelta(minutes=30)


def test_cloudwatch_alarms(db: AlertDatabase) -> None:
    (alert,) = loaded(db, "cloudwatch_alarms").values()
    assert (alert["alert_id"], alert["status"], alert["metadata"]["dimension"]) == ("cpu-high", "OPEN", "i-1")


def test_geotab(db: AlertDatabase) -> None:
    alerts = loaded(db, "geotab")
    assert statuses(alerts) == {"aE1": "RESOLVED", "aE2": "OPEN"}
    assert (alerts["aE1"]["resolved_at"], alerts["aE1"]["source_type"]) == (at(8, 10, 3), "OVERSPEEDING")
    assert alerts["aE1"]["metadata"]["duration_s"] == 603
    assert (alerts["aE2"]["resolved_at"], alerts["aE2"]["source_type"]) == (None, "GEOTAB")
    assert alerts["aE2"]["metadata"]["driver_id"] == "UnknownDriverId"


def test_samsara(db: AlertDatabase) -> None:
    crash, braking = loaded(db, "samsara").values()
    assert (crash["status"], crash["severity"], crash["metadata"]["driver_id"]) == ("OPEN", "CRITICAL", "88668")
    assert (braking["status"], braking["severity"], braking["metadata"]["behavior"]) == (
        "RESOLVED",
        "WARNING",
        "braking",
    )


def test_traccar(db: AlertDatabase) -> None:
    alerts = loaded(db, "traccar")
    speeding = alerts["31"]
    assert (speeding["source_type"], speeding["timestamp"]) == ("OVERSPEEDING", at(8))
    assert (speeding["metadata"]["speed"], speeding["metadata"]["speed_limit"]) == (54.0, 43.2)
    assert [alerts[name]["severity"] for name in ("31", "32", "33")] == ["WARNING", "CRITICAL", "INFO"]


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_has_a_test_an_example_and_a_row_on_its_page(name: str) -> None:
    assert f"test_{name}" in globals()
    assert name in {preset for _, preset in COMMANDS}
    assert f"| `{name}` |" in PAGE.read_text()
    assert preset_text(name).startswith("# ")


def test_the_commands_of_the_page_run(run: Run, environment: Path, db: AlertDatabase) -> None:  # noqa: F811
    for command, name in COMMANDS:
        arguments = shlex.split(command)
        shutil.copyfile(sample(name), environment / arguments[1])
        assert " alerts inserted, 0 already there, 0 rows after --until, 0 rejected" in run(*arguments).stdout
        db.alerts.delete_many({})


def test_a_preset_can_be_listed_printed_and_edited(run: Run, environment: Path, db: AlertDatabase) -> None:  # noqa: F811
    assert [line.split()[0] for line in run("mapping", "show").stdout.splitlines()] == preset_names()
    mine = run("mapping", "show", "traccar").stdout.replace("otherwise: TRACCAR", "otherwise: MINE")
    (environment / "mine.yaml").write_text(mine)
    run("load", str(sample("traccar")), "--mapping", "mine.yaml")
    assert db.alerts.distinct("source_type") == ["MINE", "OVERSPEEDING", "SAFETY"]


def test_a_preset_that_is_not_there_is_named(run: Run) -> None:  # noqa: F811
    with pytest.raises(MappingError, match=r"'pagerdutty' is not a valid preset.*did you mean 'pagerduty'"):
        load_preset("pagerdutty")
    assert "not a valid preset" in run("mapping", "show", "../mapping", code=1).stderr
    told = run("load", str(sample("traccar")), code=2).stderr
    assert "write one of --mapping FILE and --preset NAME" in told
    both = ("--mapping", str(sample("traccar")), "--preset", "traccar")
    assert "write one of" in run("load", str(sample("traccar")), *both, code=2).stderr


def test_a_list_at_the_top_was_refused_where_rows_were_named(db: AlertDatabase, tmp_path: Path) -> None:
    path = tmp_path / "exceptions.json"
    text = sample("geotab").read_text()
    path.write_text(text[text.index("[") : text.rindex("]") + 1])
    assert load_alerts(db, path, load_preset("geotab")).alerts_inserted == 2
