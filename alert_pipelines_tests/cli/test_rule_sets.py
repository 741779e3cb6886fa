"""`rules list`, `history`, `diff A B` and `rollback`."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.publish import export_rules
from alert_pipelines.rules.rule_collections import PIPELINE_RULES
from alert_pipelines.rules.store import load_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.factories import AS_OF, fill, rule

FILES = {
    "first": "- {rule_id: speed, source_type: SAFETY, conditions: {escalate_if_count: 3}}\n"
    "- {rule_id: old, source_type: SAFETY, conditions: {expire_after_mins: 60}}\n",
    "second": "- {rule_id: speed, source_type: SAFETY, conditions: {escalate_if_count: 5, severities: [INFO]}}\n",
    "third": "- {rule_id: new, source_type: SAFETY, conditions: {expire_after_mins: 5}}\n"
    "- {rule_id: old, source_type: SAFETY, mode: shadow, conditions: {expire_after_mins: 60}}\n",
}


@pytest.fixture
def past(run: Run, environment: Path, db: AlertDatabase) -> dict[str, str]:
    """Three files published one after the other, each used by a scan; their versions."""
    versions = {}
    for number, (name, content) in enumerate(FILES.items()):
        (environment / f"{name}.yaml").write_text(content)
        run("rules", "publish", f"{name}.yaml", "--yes")
        versions[name] = run_scan(db, ScanRequest(as_of=AS_OF + timedelta(minutes=number))).rule_set_version
    return versions


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_rules_are_listed_with_their_collection(run: Run, past: dict[str, str]) -> None:
    assert rows(run("rules", "list").stdout) == [
        ["rule", "source", "mode", "priority", "conditions", "collection"],
        ["new", "SAFETY", "active", "0", "expire_after_mins", "rules"],
        ["old", "SAFETY", "shadow", "0", "expire_after_mins", "pipeline_rules"],
        ["speed", "SAFETY", "active", "0", "escalate_if_count,", "severities,", "window_mins", "pipeline_rules"],
    ]
    listed = json.loads(run("rules", "list", "--json").stdout)
    assert {one["rule_id"]: one["collection"] for one in listed} == {
        "new": "rules",
        "old": PIPELINE_RULES,
        "speed": PIPELINE_RULES,
    }


def test_a_rule_that_cannot_be_used_is_named_and_the_others_listed(run: Run, db: AlertDatabase) -> None:
    assert run("rules", "list").stdout == "No rules.\n"
    fill(
        db,
        [],
        rule("fine", {"keep_latest": True}, source_type=["SAFETY", "COMPLIANCE"]),
        rule("bad", {"keep_lastest": True}),
    )
    result = run("rules", "list", code=1)
    assert "fine  SAFETY, COMPLIANCE  active" in result.stdout
    assert "rule 'bad': conditions.keep_lastest" in result.stderr


def test_the_history_says_what_changed_in_each_rule_set(run: Run, past: dict[str, str]) -> None:
    short = {name: version[:12] for name, version in past.items()}
    found = rows(run("rules", "history").stdout)[1:]
    assert [[row[0], *row[2:]] for row in found] == [
        [short["third"], "yes", "2", "new", "added,", "old", "removed"],
        [short["second"], "2", "speed", "changed"],
        [short["first"], "2", "old", "added,", "speed", "added"],
    ]
    assert [row[0] for row in rows(run("rules", "history", "--limit", "1").stdout)[1:]] == [short["third"]]
    of_speed = json.loads(run("rules", "history", "--rule", "speed", "--json").stdout)
    assert [(one["version"], one["changes"][0]["change"]) for one in of_speed] == [
        (past["second"], "changed"),
        (past["first"], "added"),
    ]
    assert [row[0] for row in rows(run("rules", "history", "--rule", "old", "--limit", "1").stdout)[1:]] == [
        short["third"]
    ]
    assert run("rules", "history", "--rule", "nosuch").stdout == "No rule set has a rule 'nosuch'.\n"


def test_without_a_scan_there_is_no_history(run: Run, db: AlertDatabase) -> None:
    assert db.rule_versions.count_documents({}) == 0
    assert run("rules", "history").stdout == "No scan has kept a rule set yet.\n"


def test_two_rule_sets_are_compared(run: Run, past: dict[str, str]) -> None:
    shown = run("rules", "diff", past["first"][:8], past["second"]).stdout
    assert rows(shown)[1] == ["speed", "changed"]
    assert "conditions.escalate_if_count: 3 -> 5" in shown
    assert "conditions.severities: - -> ['INFO']" in shown
    assert rows(run("rules", "diff", past["second"], "current").stdout)[1:] == [["new", "added"], ["old", "removed"]]
    assert run("rules", "diff", past["third"], "current").stdout == "No difference.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["current", "ffffffffffff"], "no version begins so"),
        (["", "current"], "is not a valid version"),
        (["a", "b", "c"], "one file, or two versions"),
        (["nosuch.yaml"], "does not exist"),
    ],
    ids=str,
)
def test_what_is_no_version_is_said(run: Run, past: dict[str, str], arguments: list[str], told: str) -> None:
    code = 1 if len(arguments) == 2 else 2
    assert told in run("rules", "diff", *arguments, code=code).stderr


def test_a_beginning_that_two_versions_share_is_refused(run: Run, past: dict[str, str], db: AlertDatabase) -> None:
    kept: dict[str, Any] = {"text": "[]", "first_used_at": AS_OF}
    db.rule_versions.insert_many([{"version": f"abcd{number}", **kept} for number in range(2)])
    assert "several versions begin so" in run("rules", "diff", "abcd", "current", code=1).stderr
    assert "removed" in run("rules", "diff", "current", "abcd1").stdout


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_rollback_has_scans_use_that_rule_set_again(
    run: Run, past: dict[str, str], db: AlertDatabase, name: str
) -> None:
    db[PIPELINE_RULES].update_one({"rule_id": "speed"}, {"$set": {"conditions.escalate_if_count": 99}})
    before = export_rules(db)
    refused = run("rules", "rollback", past[name][:12], typed="n\n", code=1)
    assert "Write 3 rules to" in refused.stdout
    assert export_rules(db) == before
    done = run("rules", "rollback", past[name][:12], "--yes").stdout
    assert done.endswith(f"3 rules written. The next scan uses {past[name][:12]}.\n")
    assert load_rules(db).rule_set.version == past[name]
    assert {one.rule_id: str(one.effective_mode) for one in export_rules(db)} == {
        "new": "off",
        "old": "active",
        "speed": "active",
    }
    assert "0 rules written" in run("rules", "rollback", past[name]).stdout


def test_a_rollback_brings_back_the_calendar_that_a_rule_went_by(run: Run, db: AlertDatabase) -> None:
    db.calendars.insert_one({"name": "office", "zone": "UTC", "open": {"mon-fri": ["08:00-18:00"]}})
    by_calendar = rule("r", {"expire_after_mins": 60}, only_during="office")
    fill(db, [], by_calendar, rule("other", {"expire_after_mins": 5}, only_during="office"))
    then = run_scan(db, ScanRequest(as_of=AS_OF)).rule_set_version
    db.calendars.update_one({}, {"$set": {"open": {"mon-sun": ["00:00-24:00"]}}})
    assert load_rules(db).rule_set.version != then
    run("rules", "rollback", then, "--yes")
    assert load_rules(db).rule_set.version == then


def test_rules_of_the_past_that_are_no_longer_valid_are_not_published(
    run: Run, past: dict[str, str], db: AlertDatabase
) -> None:
    content = rule("r", {"keep_lastest": True}) | {"mode": "active"}
    db.rule_versions.insert_one({"version": "abcdef", "text": json.dumps([content]), "first_used_at": AS_OF})
    assert "keep_lastest" in run("rules", "rollback", "abcdef", "--yes", code=1).stderr
    assert load_rules(db).rule_set.version == past["third"]


def test_who_published_a_rule_set_and_why_was_kept_nowhere(run: Run, environment: Path, db: AlertDatabase) -> None:
    (environment / "one.yaml").write_text("overspeed: {escalate_if_count: 3}\n")
    (environment / "two.yaml").write_text("overspeed: {escalate_if_count: 4}\n")
    run("rules", "publish", "one.yaml", "--yes", "--by", "Ada", "--reason", "too many")
    assert run("rules", "history").stdout == "No scan has kept a rule set yet.\n"
    run("scan")
    run("rules", "publish", "two.yaml", "--yes")
    run("scan")
    newest, first = rows(run("rules", "history").stdout)[1:]
    assert newest[-2:] == ["-", "-"]
    assert first[-3:] == ["Ada", "too", "many"]
    run("rules", "rollback", first[0], "--yes", "--by", "Bob")
    told = json.loads(run("rules", "history", "--json").stdout)
    assert [one["published"].get("by") for one in told] == [None, "Bob"]
    run("rules", "publish", "one.yaml", "--yes", "--by", "Eve")
    assert json.loads(run("rules", "history", "--json").stdout)[1]["published"]["by"] == "Bob"
