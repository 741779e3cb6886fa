"""The code location as a whole: it says what it holds, and has one name everywhere."""

import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetKey,
    AssetSelection,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    Definitions,
    ExecutorDefinition,
    ResourceDefinition,
    asset,
    define_asset_job,
    multi_or_in_process_executor,
    multiprocess_executor,
)
from dagster._core.instance.config import dagster_instance_config

from alert_pipelines.alerts import Alert
from alert_pipelines.definitions import build_defs, defs
from alert_pipelines.defs.asset_specs import SCAN_CHECKS
from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.job_records import COMPLETED, SCANNER, create_job_record, update_job_record
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.model import Rule

CHECKOUT = Path(__file__).parents[1]
COLLECTIONS = ("alerts", "alert_rules", "closed_alerts", "escalated_alerts", "background_jobs")


def columns(made: Definitions, key: str) -> set[str]:
    schema = made.resolve_asset_graph().get(AssetKey(key)).metadata["dagster/column_schema"]
    return {column.name for column in schema.columns}


def test_the_lineage_leads_from_alerts_and_rules_to_the_job_records() -> None:
    graph = defs.resolve_asset_graph()

    def parents(key: str) -> set[str]:
        return {parent.to_user_string() for parent in graph.get(AssetKey(key)).parent_keys}

    assert parents("closed_alerts") == parents("escalated_alerts") == {"alerts", "alert_rules"}
    assert parents("background_jobs") == {"closed_alerts", "escalated_alerts"}
    assert parents("backtest") == parents("dry_runs") == parents("shadow_rules") == {"alert_rules"}
    assert not graph.get(AssetKey("alerts")).is_materializable
    for key in (*COLLECTIONS, "dry_runs", "shadow_rules", "health"):
        node = graph.get(AssetKey(key))
        assert node.description, key
        assert node.group_name == ("previews" if key in {"dry_runs", "shadow_rules"} else "auto_close"), key
        assert node.kinds == {"mongodb"}, key
        assert node.owners, key


def test_each_asset_leads_to_its_code_in_this_checkout_or_where_the_setting_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def links(key: str) -> list[Any]:
        node = build_defs().resolve_asset_graph().get(AssetKey(key))
        return list(node.metadata["dagster/code_references"].code_references)

    keys = {node.key.to_user_string() for node in defs.resolve_asset_graph().asset_nodes}
    for key in keys:
        assert links(key), key
        for link in links(key):
            assert len(link.label) < 25, "the UI cut the labels of an asset where they did not differ yet"
            module = ".".join(Path(link.file_path).relative_to(CHECKOUT).with_suffix("").parts)
            meant = inspect.unwrap(getattr(importlib.import_module(module), link.label))
            assert inspect.getsourcefile(meant) == link.file_path
    monkeypatch.setenv("ALERT_PIPELINES_CODE_URL", "https://git.example/fleet/alerts/tree/main/")
    assert links("closed_alerts")[0].url == (
        "https://git.example/fleet/alerts/tree/main/alert_pipelines/scanner/scan.py"
    )


def test_a_deployment_without_source_files_could_not_load_the_code_location(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As an image does that keeps compiled modules alone.
    monkeypatch.setattr("alert_pipelines.defs.code_links._PACKAGE", tmp_path / "alert_pipelines")
    node = build_defs().resolve_asset_graph().get(AssetKey("closed_alerts"))
    assert node.metadata["dagster/code_references"].code_references == []


def test_the_columns_shown_are_those_of_the_contract(db: AlertDatabase) -> None:
    assert columns(defs, "alerts") == set(Alert.model_fields)
    assert columns(defs, "alert_rules") == set(Rule.model_fields) | {"created_at", "updated_at"}
    job_id = create_job_record(SCANNER, db, run_id="run").job_id
    update_job_record(job_id, {"conflicts": 0}, "completed", [], db)
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


THEIRS = ResourceDefinition.none_resource()


def test_other_definitions_load_beside_ours_in_one_code_location() -> None:
    @asset(deps=["closed_alerts"])
    def exported() -> None: ...

    theirs = Definitions(assets=[exported], jobs=[define_asset_job("everything")], resources={"theirs": THEIRS})
    job = Definitions.merge(build_defs(), theirs).resolve_job_def("everything")
    assert {AssetKey("exported"), AssetKey("closed_alerts")} <= set(job.asset_layer.executable_asset_keys)


@pytest.mark.parametrize("prefix", [None, "north"])
@pytest.mark.parametrize("executor", [None, multiprocess_executor])
def test_jobs_merged_with_ours_ran_their_steps_one_after_another(
    prefix: str | None, executor: ExecutorDefinition | None
) -> None:
    theirs = Definitions(jobs=[define_asset_job("everything")], executor=executor)
    merged = Definitions.merge(build_defs(key_prefix=prefix), theirs).get_repository_def()
    executors = {job.name: job.executor_def.name for job in merged.get_all_jobs()}
    theirs_run_in = (executor or multi_or_in_process_executor).name
    assert (executors.pop("everything"), executors.pop("__ASSET_JOB")) == (theirs_run_in, theirs_run_in)
    assert set(executors.values()) == {"in_process"}
    assert defs.resolve_implicit_global_asset_job_def().executor_def.name == "in_process"


def test_a_job_over_all_checks_is_refused_and_the_one_that_the_page_names_is_made() -> None:
    [named] = re.findall(r"`AssetSelection\.checks_for_assets\(\"(\w+)\"\)`", page_section())
    jobs = [define_asset_job("health_only", AssetSelection.checks_for_assets(named))]
    made = Definitions.merge(build_defs(), Definitions(jobs=jobs)).resolve_job_def("health_only")
    assert len(made.asset_layer.asset_graph.asset_check_keys) > len(SCAN_CHECKS)
    theirs = Definitions(jobs=[define_asset_job("all_checks", AssetSelection.all_asset_checks())])
    merged = Definitions.merge(build_defs(), theirs)
    with pytest.raises(DagsterInvalidDefinitionError):
        merged.resolve_job_def("all_checks")


def test_the_pages_test_scans_the_database_that_it_names(
    db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    [code] = re.findall(r"```python\n(.*?)```", page_section(), re.DOTALL)
    exec(code.replace("alerts_test", db.name), {})
    assert db.background_jobs.count_documents({"status": COMPLETED}) == 1


def page_section() -> str:
    page = (CHECKOUT / "docs" / "add-to-dagster.md").read_text(encoding="utf-8")
    [section] = [part for part in page.split("\n## ") if part.startswith("In your code location")]
    return section


@pytest.mark.parametrize("name", ["mongo", "rule_engine", "names"])
def test_what_ours_take_in_a_code_location_is_refused_when_it_is_loaded(name: str) -> None:
    with pytest.raises(DagsterInvariantViolationError, match=name):
        Definitions.merge(build_defs(), Definitions(resources={name: THEIRS}))
    assert name in page_section()
