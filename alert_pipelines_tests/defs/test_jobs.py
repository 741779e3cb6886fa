"""Publishing rules and loading alerts by Dagster jobs."""

from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import export_rules
from alert_pipelines_tests.defs.conftest import Execute, failure_text, in_one_line, observed, output_metadata
from alert_pipelines_tests.factories import alert, fill

MAPPING = """
format: csv
dates: {format: iso}
alert_id: {column: id}
source_type: {constant: OVERSPEEDING}
timestamp: {column: at}
severity: {constant: WARNING}
metadata:
  driver_id: {column: driver}
"""


def test_the_packages_rules_are_published_once_and_the_changes_shown(execute: Execute, db: AlertDatabase) -> None:
    ids = {rule.rule_id for rule in default_rules()}
    seen = observed(execute("publish_rules_job", "publish", dry_run=False))
    assert seen["asset"] == "alert_rules"
    assert seen["written"] == len(ids)
    assert {rule.rule_id for rule in export_rules(db)} == ids
    assert {row.data["rule"] for row in seen["changes"].records} == ids
    again = observed(execute("publish_rules_job", "publish", dry_run=False))
    assert again["written"] == 0
    assert {row.data["change"] for row in again["changes"].records} == {"same"}


def test_the_job_published_at_once_where_all_others_are_a_dry_run_first(execute: Execute, db: AlertDatabase) -> None:
    seen = observed(execute("publish_rules_job", "publish"))
    assert {row.data["change"] for row in seen["changes"].records} == {"new"}
    assert export_rules(db) == []


def test_a_persons_rule_is_overwritten_only_when_told_to(execute: Execute, db: AlertDatabase, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("overspeed: {expire_after_mins: 60}")
    execute("publish_rules_job", "publish", file=str(file), dry_run=False)
    db.rules.update_one({"rule_id": "overspeed"}, {"$set": {"conditions.expire_after_mins": 5}})

    def minutes_after(**config: Any) -> int:
        execute("publish_rules_job", "publish", file=str(file), dry_run=False, **config)
        found = db.rules.find_one({"rule_id": "overspeed"})
        assert found is not None
        return int(found["conditions"]["expire_after_mins"])

    assert minutes_after() == 5
    assert minutes_after(overwrite=True) == 60


def test_a_rule_file_that_is_not_there_is_named(execute: Execute, tmp_path: Path) -> None:
    result = execute("publish_rules_job", "publish", file=str(tmp_path / "none.yaml"))
    assert not result.success
    assert "none.yaml" in failure_text(result, "publish")


def test_a_valid_rule_file_is_shown_and_nothing_published(execute: Execute, db: AlertDatabase, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("overspeed: {expire_after_mins: 60}")
    seen = output_metadata(execute("validate_rules_job", "validate", file=str(file)))
    assert seen["valid rules"] == 1
    (row,) = seen["rules"].records
    does = "Closes OVERSPEEDING alerts when they are 1 hour old."
    assert {name: in_one_line(cell) for name, cell in row.data.items()} == {
        "rule": "overspeed",
        "source": "OVERSPEEDING",
        "mode": "active",
        "priority": 0,
        "what it does": does,
    }
    own = output_metadata(execute("validate_rules_job", "validate"))
    assert own["valid rules"] == len(default_rules())
    assert db.rules.count_documents({}) == 0


def test_the_job_validated_in_silence_what_the_command_line_warns_of(execute: Execute, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("safety: {keep_latest: true, escalate_if_count: 21}")
    result = execute("validate_rules_job", "validate", file=str(file))
    assert result.success
    warning = "rule 'safety': escalate_if_count counts pending alerts, and keep_latest of the same rule"
    assert output_metadata(result)["warnings"].startswith(f"- {warning}")
    assert "warnings" not in output_metadata(execute("validate_rules_job", "validate"))


def test_the_job_compares_rules_with_the_kinds_of_the_alerts_fields_where_it_is_told_to(
    execute: Execute, db: AlertDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("overspeed: {close_if: {field: metadata.speed, op: lt, value: 60}}")
    fill(db, [alert("A", metadata={"speed": "55"})])
    assert "warnings" not in output_metadata(execute("validate_rules_job", "validate", file=str(file)))
    seen = output_metadata(execute("validate_rules_job", "validate", file=str(file), against_alerts=True))
    assert "metadata.speed is not a valid field for close_if" in seen["warnings"]
    assert "got text in 1 of 1 pending alerts" in seen["warnings"]


def test_a_wrong_rule_file_fails_and_all_that_is_wrong_is_named(execute: Execute, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("overspeed: {expire_after_min: 60}\nsafety: {expire_after_mins: -5}")
    text = failure_text(execute("validate_rules_job", "validate", file=str(file)), "validate")
    assert "rule 'overspeed': conditions.expire_after_min: unknown; did you mean 'expire_after_mins'?" in text
    assert "rule 'safety': conditions.expire_after_mins: expected greater than or equal to 1; got -5" in text


@pytest.mark.parametrize("name", ["exported.yaml", "exported.json"])
def test_exported_rules_are_shown_and_their_file_publishes_as_the_same(
    execute: Execute, db: AlertDatabase, tmp_path: Path, name: str
) -> None:
    execute("publish_rules_job", "publish", dry_run=False)
    file = tmp_path / name
    seen = output_metadata(execute("export_rules_job", "export", file=str(file)))
    assert seen["rules"] == len(default_rules())
    assert "rule_id: overspeed" in seen["rule file"]
    again = observed(execute("publish_rules_job", "publish", file=str(file), dry_run=False))
    assert {row.data["change"] for row in again["changes"].records} == {"same"}


def test_an_export_that_cannot_be_written_fails_and_names_its_file(execute: Execute, tmp_path: Path) -> None:
    result = execute("export_rules_job", "export", file=str(tmp_path / "none" / "rules.yaml"))
    assert "none/rules.yaml cannot be written" in failure_text(result, "export")


def test_a_file_is_loaded_by_a_preset_and_not_by_two_mappings_or_none(
    execute: Execute, db: AlertDatabase, tmp_path: Path
) -> None:
    data = tmp_path / "report.json"
    data.write_text('[{"id": 31, "deviceId": 5, "type": "alarm", "eventTime": "2026-11-20T08:00:00.000+00:00"}]')
    told = observed(execute("load_alerts_job", "load", file=str(data), preset="traccar"))
    assert told["database"] == db.name
    assert (told["inserted"], db.alerts.distinct("alert_id")) == (1, ["31"])
    for wrong in ({}, {"preset": "traccar", "mapping": "mine.yaml"}):
        result = execute("load_alerts_job", "load", file=str(data), **wrong)
        assert "Write one of mapping and preset" in failure_text(result, "load")
    assert "'tracar' is not a valid preset" in failure_text(
        execute("load_alerts_job", "load", file=str(data), preset="tracar"), "load"
    )


def test_a_file_is_loaded_by_its_mapping_and_again_without_duplicates(
    execute: Execute, db: AlertDatabase, tmp_path: Path
) -> None:
    data, mapping = tmp_path / "alerts.csv", tmp_path / "mapping.yaml"
    data.write_text("id,at,driver\nA,2026-01-01T00:00:00Z,D1\nB,2026-01-02T00:00:00Z,D1\n")
    mapping.write_text(MAPPING)
    config = {"file": str(data), "mapping": str(mapping)}
    early = observed(execute("load_alerts_job", "load", **config, until="2026-01-01T12:00:00"))
    assert (early["asset"], early["inserted"], early["after until"]) == ("alerts", 1, 1)
    later = observed(execute("load_alerts_job", "load", **config))
    assert (later["inserted"], later["already there"]) == (1, 1)
    assert {doc["alert_id"] for doc in db.alerts.find()} == {"A", "B"}


def test_a_mapping_that_is_not_there_is_named(execute: Execute, tmp_path: Path) -> None:
    result = execute("load_alerts_job", "load", file="alerts.csv", mapping=str(tmp_path / "none.yaml"))
    assert not result.success
    assert "none.yaml" in failure_text(result, "load")


def test_a_load_that_rejected_every_row_was_a_green_run(
    execute: Execute, db: AlertDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, mapping = tmp_path / "alerts.csv", tmp_path / "mapping.yaml"
    data.write_text("id,at,driver\nA,never,D1\n")
    mapping.write_text(MAPPING)
    result = execute("load_alerts_job", "load", file=str(data), mapping=str(mapping))
    assert not result.success
    assert "No row could be used. 1 of 1 rows of " in failure_text(result, "load")
    assert "1 × at is not a valid date" in failure_text(result, "load")
    data.write_text("id,at,driver\nA,never,D1\nB,2026-01-01,D1\n")
    result = execute("load_alerts_job", "load", file=str(data), mapping=str(mapping))
    assert result.success
    assert (observed(result)["inserted"], observed(result)["rejected"]) == (1, 1)
    assert "1 × at is not a valid date" in observed(result)["reject reasons"]
