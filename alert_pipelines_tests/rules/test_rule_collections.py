"""The two collections of rules: which rule stands where, how it gets there, and what a scan sees meanwhile."""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pymongo.collation import Collation

from alert_pipelines.alerts import SourceType
from alert_pipelines.errors import RuleIdTakenError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.model import Rule, RuleSet
from alert_pipelines.rules.publish import NOT_ATOMIC, ChangeKind, FieldChange, diff_rules, export_rules, publish_rules
from alert_pipelines.rules.rule_collections import COLLECTIONS, PIPELINE_RULES, SERVICE_RULES, home_of
from alert_pipelines.rules.store import load_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses
from alert_pipelines_tests.mongo.servers import data_dir, foreign_mongod
from alert_pipelines_tests.ports import free_port

SIMPLE, OURS = {"expire_after_mins": 60}, {"expire_after_mins": 60, "hold_mins": 30}
SCANS = 29


def made(rule_id: str, conditions: Mapping[str, Any], **fields: Any) -> Rule:
    return Rule.model_validate(rule(rule_id, conditions, **fields))


def where(db: AlertDatabase) -> dict[str, set[str]]:
    """The rule ids of each collection."""
    return {name: set(db[name].distinct("rule_id")) for name in COLLECTIONS}


SERVICES_OWN: list[dict[str, Any]] = [
    {"escalate_if_count": 3, "window_mins": 60},
    {"auto_close_if": "document_valid"},
    {"expire_after_mins": 5, "keep_latest": None},
    {"expire_after_mins": 5, "auto_close_if": "x", "escalate_if_count": 2, "window_mins": 9},
]


@pytest.mark.parametrize("conditions", SERVICES_OWN, ids=str)
@pytest.mark.parametrize("source_type", SourceType)
def test_what_the_service_can_say_stands_in_its_collection(source_type: str, conditions: dict[str, Any]) -> None:
    for fields in ({}, {"is_active": False}, {"mode": "off"}, {"mode": "active"}):
        assert home_of(made("r", conditions, source_type=source_type, **fields)) == SERVICE_RULES


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        (SIMPLE, {"source_type": "GEOFENCE"}),
        (SIMPLE, {"source_type": "overspeeding"}),
        (SIMPLE, {"source_type": "*"}),
        (SIMPLE, {"source_type": ["SAFETY", "COMPLIANCE"]}),
        (SIMPLE, {"only_during": "office"}),
        (SIMPLE, {"calendar": "office"}),
        (SIMPLE, {"mode": "shadow"}),
        (OURS, {}),
        ({"keep_latest": True}, {}),
        (SIMPLE | {"max_close": 0}, {"mode": "off"}),
    ],
    ids=str,
)
def test_what_the_service_cannot_say_is_out_of_its_reach(
    db: AlertDatabase, conditions: dict[str, Any], fields: dict[str, Any]
) -> None:
    one = made("r", conditions, **fields)
    assert publish_rules(db, [one])[0].written
    assert where(db) == {SERVICE_RULES: set(), PIPELINE_RULES: {"r"}}
    assert [exported.canonical() for exported in export_rules(db)] == [one.canonical()]


def test_a_scan_honours_the_rules_of_both(db: AlertDatabase) -> None:
    publish_rules(db, [made("service", SIMPLE), made("ours", OURS, source_type="GEOFENCE")])
    fill(db, [alert("a", minutes=90), alert("b", minutes=90, source_type="GEOFENCE"), alert("c")])
    report = run_scan(db, ScanRequest(as_of=AS_OF))
    assert statuses(db) == {"a": "AUTO_CLOSED", "b": "AUTO_CLOSED", "c": "OPEN"}
    assert [count.rule_id for count in report.decisions] == ["ours", "service"]


@pytest.mark.parametrize("before", [SIMPLE, OURS], ids=["to ours", "to the service's"])
def test_a_rule_whose_shape_changes_moves_with_all_that_it_has(db: AlertDatabase, before: dict[str, Any]) -> None:
    after = OURS if before == SIMPLE else SIMPLE
    here, there = (SERVICE_RULES, PIPELINE_RULES) if before == SIMPLE else (PIPELINE_RULES, SERVICE_RULES)
    publish_rules(db, [made("r", before)])
    db[here].update_one({}, {"$set": {"tenant": "x"}})
    first = db[here].find_one({})
    [change] = publish_rules(db, [made("r", after)])
    assert (change.kind, change.fields[0], change.written) == (
        ChangeKind.CHANGED,
        FieldChange("collection", here, there),
        True,
    )
    moved = db[there].find_one({})
    assert db[here].count_documents({}) == 0
    assert first is not None
    assert moved is not None
    assert [moved[name] for name in ("_id", "created_at", "tenant")] == [
        first[name] for name in ("_id", "created_at", "tenant")
    ]
    assert publish_rules(db, [made("r", after)])[0].kind is ChangeKind.SAME


def test_rules_of_the_first_edition_are_honoured_and_moved_by_the_next_publish(db: AlertDatabase) -> None:
    broken = rule("broken", {"keep_lastest": True})
    fill(db, [], rule("in the file", OURS), rule("elsewhere", OURS), rule("theirs", SIMPLE), broken)
    version = load_rules(db).rule_set.version
    stored = db.rules.find_one({"rule_id": "elsewhere"})
    file = [made("in the file", OURS)]
    moves = {change.rule_id: change.fields for change in diff_rules(db, file)}
    assert moves == {
        name: (FieldChange("collection", SERVICE_RULES, PIPELINE_RULES),) for name in ("in the file", "elsewhere")
    } | {"theirs": (), "broken": ()}
    assert {change.rule_id: change.written for change in publish_rules(db, file)} == {
        name: bool(fields) for name, fields in moves.items()
    }
    assert where(db) == {SERVICE_RULES: {"theirs", "broken"}, PIPELINE_RULES: {"in the file", "elsewhere"}}
    assert db[PIPELINE_RULES].find_one({"rule_id": "elsewhere"}) == stored
    assert load_rules(db).rule_set.version == version


def test_a_rule_that_both_collections_have_decides_nothing_and_is_named(db: AlertDatabase) -> None:
    publish_rules(db, [made("both", OURS), made("fine", OURS)])
    fill(db, [], rule("both", {"expire_after_mins": 5}))
    loaded = load_rules(db)
    assert [one.rule_id for one in loaded.rule_set.active] == ["fine"]
    [error] = loaded.errors
    assert "rule 'both': rules and pipeline_rules both have a rule of this rule_id" in str(error)

    file = [made("both", OURS | {"hold_mins": 40})]
    [change, _] = publish_rules(db, file)
    assert (change.kind, change.written) == (ChangeKind.CHANGED_BY_PERSON, False)
    assert change.fields[0] == FieldChange("collection", "rules, pipeline_rules", PIPELINE_RULES)
    assert publish_rules(db, file, overwrite=True)[0].written
    assert where(db) == {SERVICE_RULES: set(), PIPELINE_RULES: {"both", "fine"}}
    assert [one.conditions.hold_mins for one in load_rules(db).rule_set.active] == [40, 30]


def test_one_rule_that_could_not_be_written_left_half_of_its_file_published(db: AlertDatabase) -> None:
    ignoring_case = Collation(locale="en", strength=1)
    db[PIPELINE_RULES].create_index("rule_id", name="theirs", unique=True, collation=ignoring_case)
    with pytest.raises(RuleIdTakenError, match="rule 'B': the collection 'pipeline_rules'"):
        publish_rules(db, [made("simple", SIMPLE), made("b", OURS), made("B", OURS)])
    assert where(db) == {SERVICE_RULES: set(), PIPELINE_RULES: set()}


# Publishes the rules that the third argument holds, and is killed as it sends the n-th command of a name.
_KILLED = """
import json, os, signal, sys
from pymongo import MongoClient
from pymongo.monitoring import CommandListener
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.publish import publish_rules

class Killer(CommandListener):
    left = int(sys.argv[5])
    def started(self, event):
        self.left -= event.command_name == sys.argv[4]
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def succeeded(self, event): pass
    def failed(self, event): pass

client = MongoClient(sys.argv[1], event_listeners=[Killer()])
publish_rules(client[sys.argv[2]], parse_rules(json.loads(sys.argv[3]), "here"))
"""


@pytest.mark.process
@pytest.mark.parametrize(("command", "number"), [("insert", 5), ("delete", 2), ("commitTransaction", 1)], ids=str)
def test_a_publish_that_dies_leaves_the_rules_as_they_were(
    db: AlertDatabase, mongo_uri: str, command: str, number: int
) -> None:
    publish_rules(db, [made(f"r{number}", SIMPLE) for number in range(8)])
    before = list(db.rules.find())
    new = [made(f"r{number}", OURS).canonical() for number in range(8)]
    arguments = [mongo_uri, db.name, json.dumps(new), command, str(number)]
    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(db.rules.find()) == before
    assert where(db)[PIPELINE_RULES] == set()
    assert len(load_rules(db).rule_set.active) == 8
    # The server keeps what the dead process began for a minute, and with it the locks that dropping the database needs.
    db.client.admin.command("killAllSessions", [])


def test_two_who_publish_the_same_at_once_publish_it_once(db: AlertDatabase) -> None:
    rules = [made(f"r{number}", OURS if number % 2 else SIMPLE) for number in range(20)]
    with ThreadPoolExecutor(4) as people:
        changes = [future.result() for future in [people.submit(publish_rules, db, rules) for _ in range(4)]]
    assert sum(change.written for one in changes for change in one) == len(rules)
    assert len(export_rules(db)) == len(rules)


@contextmanager
def published_again_and_again(db: AlertDatabase, *files: list[Rule]) -> Iterator[None]:
    over = Event()

    def publish() -> int:
        times = 0
        while not over.is_set():
            for file in files:
                publish_rules(db, file)
                times += 1
        return times

    with ThreadPoolExecutor(1) as person:
        publishing = person.submit(publish)
        try:
            yield
        finally:
            over.set()
        assert publishing.result() > len(files)


@pytest.mark.slow
def test_scans_used_rule_sets_that_were_neither_old_nor_new(db: AlertDatabase) -> None:
    """Every rule changes its meaning with each publication, and every other one its collection."""
    files = [
        [
            made(f"r{number}", {"expire_after_mins": minutes, **({"hold_mins": 5} if (number + turn) % 2 else {})})
            for number in range(8)
        ]
        for turn, minutes in enumerate((60, 90))
    ]
    versions = {RuleSet.of(file).version for file in files}
    publish_rules(db, files[0])
    with published_again_and_again(db, *files):
        seen = [run_scan(db, ScanRequest(as_of=AS_OF)) for _ in range(SCANS)]
        loaded = {load_rules(db).rule_set.version for _ in range(20 * SCANS)}
    assert [report.errors for report in seen] == [()] * SCANS
    assert {report.rule_set_version for report in seen} == loaded == versions
    kept = db.rule_versions.find({}, {"version": 1})
    assert {version["version"] for version in kept} == versions


def test_a_standalone_server_publishes_one_by_one_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with data_dir() as data, foreign_mongod(Path(data), free_port()) as client:
        db = client["fleet"]
        with caplog.at_level(logging.WARNING, "alert_pipelines"):
            publish_rules(db, [made("a", SIMPLE), made("b", OURS)])
        assert [record.message for record in caplog.records] == [NOT_ATOMIC]
        publish_rules(db, [made("a", OURS), made("b", SIMPLE)])
        assert where(db) == {SERVICE_RULES: {"b"}, PIPELINE_RULES: {"a"}}
        assert [one.rule_id for one in load_rules(db).rule_set.active] == ["a", "b"]
