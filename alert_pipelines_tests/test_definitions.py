"""The code location as a whole: it loads light, says what it holds, and has one name everywhere."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetKey, Definitions
from dagster._core.instance.config import dagster_instance_config

from alert_pipelines.alerts import Alert
from alert_pipelines.definitions import defs
from alert_pipelines.job_records import SCANNER, create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.model import Rule
from alert_pipelines.scheduler import CODE_LOCATION

CHECKOUT = Path(__file__).parents[1]
COLLECTIONS = ("alerts", "alert_rules", "closed_alerts", "escalated_alerts", "background_jobs")

# What a run of a scan imports is the code location and what the scan itself reaches.
_SCAN = """
import sys
from dagster import DagsterInstance
from alert_pipelines.definitions import defs
with DagsterInstance.ephemeral() as instance:
    assert defs.resolve_job_def("auto_close_job").execute_in_process(instance=instance).success
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def columns(made: Definitions, key: str) -> set[str]:
    schema = made.resolve_asset_graph().get(AssetKey(key)).metadata["dagster/column_schema"]
    return {column.name for column in schema.columns}


def test_neither_code_server_nor_run_loads_what_only_reports_need(
    mongo_uri: str, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", db.name)
    done = subprocess.run(
        [sys.executable, "-c", _SCAN], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "pymongo" in loaded
    assert not loaded & {"pandas", "numpy", "matplotlib", "dagster_webserver"}


def test_the_lineage_leads_from_alerts_and_rules_to_the_job_records() -> None:
    graph = defs.resolve_asset_graph()

    def parents(key: str) -> set[str]:
        return {parent.to_user_string() for parent in graph.get(AssetKey(key)).parent_keys}

    assert parents("closed_alerts") == parents("escalated_alerts") == {"alerts", "alert_rules"}
    assert parents("background_jobs") == {"closed_alerts", "escalated_alerts"}
    assert not graph.get(AssetKey("alerts")).is_materializable
    for key in (*COLLECTIONS, "dry_runs", "shadow_rules"):
        node = graph.get(AssetKey(key))
        assert node.description, key
        assert node.group_name == "auto_close", key
        assert node.kinds == {"mongodb"}, key
        assert node.owners, key


def test_the_columns_shown_are_those_of_the_contract(db: AlertDatabase) -> None:
    assert columns(defs, "alerts") == set(Alert.model_fields)
    assert columns(defs, "alert_rules") == set(Rule.model_fields) | {"created_at", "updated_at"}
    job_id = create_job_record(SCANNER, db, run_id="run")
    update_job_record(job_id, {"raced": 0}, "completed", [], db)
    record: dict[str, Any] | None = db.background_jobs.find_one({"job_id": job_id}, {"_id": 0})
    assert record is not None
    assert columns(defs, "background_jobs") == set(record)


def test_the_code_location_has_one_name_everywhere() -> None:
    workspace = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text())
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["dagster"]
    ((entry,),) = (location.values() for location in workspace["load_from"])
    assert entry == {"module_name": project["module_name"], "location_name": project["code_location_name"]}
    assert entry["location_name"] == CODE_LOCATION


def test_every_run_goes_through_a_queue_of_one_and_none_runs_for_ever() -> None:
    settings, _ = dagster_instance_config(str(CHECKOUT))
    assert settings["concurrency"]["runs"]["max_concurrent_runs"] == 1
    assert settings["run_monitoring"]["enabled"]
    assert settings["run_monitoring"]["max_runtime_seconds"] > 0
    assert settings["telemetry"] == {"enabled": False}
