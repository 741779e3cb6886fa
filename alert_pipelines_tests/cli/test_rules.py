import json
from pathlib import Path

import pytest
import yaml

from alert_pipelines.cli.output import number_of
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import default_rules, read_rules
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import alert, fill, rule

SHORT = "overspeed: {escalate_if_count: 3, window_mins: 60}\n"


@pytest.fixture
def file(environment: Path) -> str:
    (environment / "rules.yaml").write_text(SHORT)
    return "rules.yaml"


def test_validate_counts_the_rules(run: Run, file: str) -> None:
    assert run("rules", "validate", file).stdout == "1 rule, all valid.\n"
    default = run("rules", "validate")
    assert (default.stdout, default.stderr) == (f"{len(default_rules())} rules, all valid.\n", "")


def test_validate_against_alerts_warns_of_a_field_of_another_kind(
    run: Run, environment: Path, db: AlertDatabase
) -> None:
    (environment / "good.yaml").write_text(
        "overspeed: {close_if: {field: metadata.feedback_rating, op: gte, value: 4}}\n"
    )
    fill(db, [alert("A", metadata={"feedback_rating": "5"}), alert("B", metadata={"feedback_rating": 5})])
    assert run("rules", "validate", "good.yaml").stderr == ""
    checked = run("rules", "validate", "good.yaml", "--against-alerts")
    assert checked.stdout == "1 rule, all valid.\n"
    assert "expected number; got text in 1 of 2 pending alerts (OVERSPEEDING), such as A." in checked.stderr


def test_validate_names_what_is_wrong(run: Run, environment: Path) -> None:
    (environment / "bad.yaml").write_text("overspeed: {expire_after_min: 5}\n")
    result = run("rules", "validate", "bad.yaml", code=1)
    assert "did you mean 'expire_after_mins'?" in result.stderr


@pytest.mark.parametrize("name", ["half.json", "half.yaml"])
def test_half_of_a_surrogate_pair_passed_validate_and_broke_publish_half_way(
    run: Run, environment: Path, db: AlertDatabase, name: str
) -> None:
    good = {"rule_id": "a", "source_type": "SAFETY", "conditions": {"keep_latest": True}}
    # JSON writes it as an escape, which YAML reads, too.
    (environment / name).write_text(json.dumps({"rules": [good, {**good, "rule_id": "b", "name": "\ud800"}]}))
    for command in ("validate", "publish"):
        assert "rule 'b': name: expected text that UTF-8 can hold" in run("rules", command, name, code=1).stderr
    assert db.rules.count_documents({}) == 0


@pytest.mark.parametrize(("first", "second"), [("one", "two"), ("both", None)], ids=["two rules", "one rule"])
def test_keep_latest_cancelled_the_escalations_of_its_source_in_silence(
    run: Run, environment: Path, first: str, second: str | None
) -> None:
    keep, count = {"keep_latest": True}, {"escalate_if_count": 21}
    rules = [{"rule_id": first, "source_type": "SAFETY", "conditions": keep if second else keep | count}]
    if second:
        rules.append({"rule_id": second, "source_type": "SAFETY", "conditions": count})
    (environment / "pair.json").write_text(json.dumps({"rules": rules}))

    result = run("rules", "validate", "pair.json")

    assert result.stdout == f"{number_of(len(rules), 'rule')}, all valid.\n"
    assert result.stderr.startswith(f"Warning: rule {second or first!r}: escalate_if_count counts pending alerts, and ")
    assert ("the same rule" if second is None else "rule 'one'") in result.stderr


@pytest.mark.parametrize(
    "change",
    [{"source_type": "COMPLIANCE"}, {"mode": "shadow"}, {"conditions": {"escalate_if_count": 1}}],
    ids=["another source", "a shadow rule", "the first alert escalates"],
)
def test_rules_that_do_not_meet_are_not_warned_of(run: Run, environment: Path, change: dict[str, object]) -> None:
    keep = {"rule_id": "one", "source_type": "SAFETY", "conditions": {"keep_latest": True}}
    other = {"rule_id": "two", "source_type": "SAFETY", "conditions": {"escalate_if_count": 21}} | change
    (environment / "pair.json").write_text(json.dumps({"rules": [keep, other]}))
    assert run("rules", "validate", "pair.json").stderr == ""


def test_publish_asks_and_a_no_writes_nothing(run: Run, file: str, db: AlertDatabase) -> None:
    run("rules", "publish", file, typed="n\n", code=1)
    assert db.rules.count_documents({}) == 0
    assert "1 rule written" in run("rules", "publish", file, typed="y\n").stdout
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
    assert "1 rule written" in run("rules", "publish", file, "--yes", "--overwrite").stdout
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


def test_export_named_the_first_bad_rule_only(run: Run, environment: Path, db: AlertDatabase) -> None:
    twice = rule("twice", {"keep_latest": True})
    db.rules.drop_index("rule_id_unique")
    db.rules.insert_many([rule("a", {"keep_lastest": True}), rule("fine", {"keep_latest": True}), dict(twice)])
    db.rules.insert_many([dict(twice), {"rule_id": 7}, rule("z", {"expire_after_mins": -1})])

    (environment / "rules.yaml").write_text("of yesterday")
    result = run("rules", "export", "-o", "rules.yaml", code=1)

    assert result.stdout == ""
    first, *lines = result.stderr.splitlines()
    assert first == "Error: 4 rules cannot be exported, so nothing was. Fix or delete:"
    assert [line.partition(":")[0].strip() for line in lines] == ["rule 7", "rule 'a'", "rule 'z'", "rule 'twice'"]
    assert (environment / "rules.yaml").read_text() == "of yesterday"


def test_schema_is_json(run: Run) -> None:
    assert "rules" in json.loads(run("rules", "schema").stdout)["properties"]


def test_describe_says_each_rule_in_one_sentence(run: Run, file: str, db: AlertDatabase) -> None:
    said = "when there are 3 pending ones with the same metadata.driver_id within 1 hour.\n"
    of_file = run("rules", "describe", file).stdout
    assert of_file == f"overspeed (active): Escalates OPEN OVERSPEEDING alerts {said}"
    assert len(run("rules", "describe").stdout.splitlines()) == len(default_rules())
    run("rules", "publish", file, "--yes")
    assert run("rules", "describe", "--published").stdout == of_file
    assert "not both" in run("rules", "describe", file, "--published", code=2).stderr


def test_diff_says_what_a_file_would_do_to_the_alerts_of_now(run: Run, file: str, db: AlertDatabase) -> None:
    fill(db, [alert(minutes=n) for n in range(4)], rule("overspeed", {"expire_after_mins": 5}))
    out = run("rules", "diff", file).stdout
    assert [line.split() for line in out.splitlines() if line.startswith(("close", "escalate", "more", "fewer"))] == [
        ["close", "4", "0", "0", "4"],
        ["escalate", "0", "2", "2", "0"],
        ["fewer", "close", "overspeed", "OVERSPEEDING", "OPEN", "4"],
        ["more", "escalate", "overspeed", "OVERSPEEDING", "OPEN", "2"],
    ]
    run("rules", "publish", file, "--overwrite", "--yes")
    assert "The next scan" not in run("rules", "diff", file).stdout


def test_a_scan_by_a_file_is_a_dry_run_only(run: Run, file: str, db: AlertDatabase) -> None:
    fill(db, [alert(minutes=n) for n in range(4)])
    assert "overspeed  OVERSPEEDING  OPEN    WARNING   escalate" in run("scan", "--dry-run", "--rules", file).stdout
    assert "--rules is for --dry-run" in run("scan", "--rules", file, code=2).stderr


def test_a_dry_run_and_publishing_did_not_say_that_a_key_has_no_index(
    run: Run, environment: Path, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.index_advice.advice.MIN_EXAMINED", 1)
    fill(db, [alert("A")])
    (environment / "depot.yaml").write_text("overspeed: {keep_latest: true, group_by: metadata.depot}\n")
    for command in (["scan", "--dry-run", "--rules", "depot.yaml"], ["rules", "publish", "depot.yaml", "--yes"]):
        assert "Warning: rule 'overspeed': for want of an index" in run(*command).stderr
