import json
from pathlib import Path

import pytest
import yaml

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules, read_rules
from alert_pipelines_tests.cli.conftest import Run

SHORT = "overspeed: {escalate_if_count: 3, window_mins: 60}\n"


@pytest.fixture
def file(environment: Path) -> str:
    (environment / "rules.yaml").write_text(SHORT)
    return "rules.yaml"


def test_validate_counts_the_rules(run: Run, file: str) -> None:
    assert run("rules", "validate", file).stdout == "1 rules, all valid.\n"
    assert run("rules", "validate").stdout == f"{len(default_rules())} rules, all valid.\n"


def test_validate_names_what_is_wrong(run: Run, environment: Path) -> None:
    (environment / "bad.yaml").write_text("overspeed: {expire_after_min: 5}\n")
    result = run("rules", "validate", "bad.yaml", code=1)
    assert "did you mean 'expire_after_mins'?" in result.stderr


def test_publish_asks_and_a_no_writes_nothing(run: Run, file: str, db: AlertDatabase) -> None:
    run("rules", "publish", file, typed="n\n", code=1)
    assert db.rules.count_documents({}) == 0
    assert "1 rules written" in run("rules", "publish", file, typed="y\n").stdout
    assert db.rules.distinct("rule_id") == ["overspeed"]


def test_publish_does_not_ask_where_nothing_is_to_be_written(run: Run, file: str) -> None:
    run("rules", "publish", file, "--yes")
    assert "0 rules written" in run("rules", "publish", file).stdout


def test_a_rule_changed_by_a_person_needs_overwrite(run: Run, file: str, db: AlertDatabase) -> None:
    run("rules", "publish", file, "--yes")
    db.rules.update_one({}, {"$set": {"conditions.escalate_if_count": 9}})
    assert "conditions.escalate_if_count: 9 -> 3" in run("rules", "diff", file).stdout
    kept = run("rules", "publish", file, "--yes").stdout
    assert "Left as a person changed them: overspeed" in kept
    assert "1 rules written" in run("rules", "publish", file, "--yes", "--overwrite").stdout
    [stored] = db.rules.find()
    assert stored["conditions"]["escalate_if_count"] == 3


@pytest.mark.parametrize("file_format", ["yaml", "json"])
def test_export_is_read_back(run: Run, environment: Path, file_format: str) -> None:
    run("rules", "publish", "--yes")
    name = f"exported.{file_format}"
    run("rules", "export", "--format", file_format, "-o", name)
    exported = {rule.rule_id: rule.canonical() for rule in read_rules(environment / name)}
    assert exported == {rule.rule_id: rule.canonical() for rule in default_rules()}
    parse = json.loads if file_format == "json" else yaml.safe_load
    assert len(parse(run("rules", "export", "--format", file_format).stdout)["rules"]) == len(exported)


def test_schema_is_json(run: Run) -> None:
    assert "rules" in json.loads(run("rules", "schema").stdout)["properties"]
