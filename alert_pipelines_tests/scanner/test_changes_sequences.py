"""Random sequences of scans in a rough world: odd ids and keys, equal as_of, elections and damaged job records.

Each scan decides what one that looks at everything would.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from bson import Regex
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, DuplicateKeyError, PyMongoError

from alert_pipelines.audit.undo import undo_job
from alert_pipelines.job_records import COLLECTION as JOB_RECORDS
from alert_pipelines.job_records import SCANNER
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, rule
from alert_pipelines_tests.patience import wait_until
from alert_pipelines_tests.rules.examples import examples
from alert_pipelines_tests.scanner.test_changes import DAMAGES
from alert_pipelines_tests.scanner.test_changes_properties import EVIDENCE, decisions, whole_plan, writable
from alert_pipelines_tests.scanner.test_stored_values import ODD_KEYS

# No array, no pattern, and no document with an operator may be an `_id`.
ODD_IDS = [
    odd
    for name, odd in ODD_KEYS.items()
    if not isinstance(odd, Regex) and "operator" not in name and name != "reference"
]
SCANS = 5

_log = logging.getLogger("sequences")


class World:
    """What befalls alerts and records between two scans, drawn at random; `counted` is what did."""

    def __init__(self, db: AlertDatabase, data: st.DataObject, counted: Counter[str]) -> None:
        self._db = db
        self._draw = draw = data.draw
        self._counted = counted
        self._drivers = ["D1", "D1", "D2", *draw(st.lists(st.sampled_from(list(ODD_KEYS.values())), max_size=2))]
        self._ids = list(draw(st.lists(st.sampled_from(ODD_IDS), max_size=4, unique_by=repr)))
        self._added = 0
        self.minutes = 0

    def act(self) -> None:
        rare = self._draw(st.integers(0, 39))
        if rare == 0:
            self._counted["elections"] += 1
            elect(self._db)
        elif rare <= 3:
            self._damage()
        elif rare <= 7:
            self._let_a_day_pass()
        elif rare <= 10:
            self._undo()
        elif rare <= 20:
            self.insert()
        else:
            self._change()

    def insert(self) -> None:
        self._added += 1
        one = alert(f"A{self._added}", minutes=self._age(), driver=self._driver(), severity=self._severity())
        if bool(self._ids) and self._draw(st.booleans()):
            one["_id"] = self._ids.pop()
            self._counted["odd_ids"] += 1
        self._db.alerts.insert_one(one)

    def _change(self) -> None:
        alerts = self._db.alerts
        which = {"alert_id": f"A{self._draw(st.integers(1, max(self._added, 1)))}"}
        acts: list[Callable[[], Any]] = [
            lambda: alerts.delete_one(which),
            lambda: alerts.update_one(which, [{"$set": {"metadata.driver_id": {"$literal": self._driver()}}}]),
            lambda: alerts.update_one(which, {"$set": {"timestamp": ago(self._age())}}),
            lambda: alerts.update_one(which, {"$set": {"status": "RESOLVED"}}),
            lambda: alerts.update_one(which, {"$set": {"severity": self._severity()}}),
            lambda: alerts.update_one(which, {"$set": {"status": "OPEN", "state_history": []}}),
            lambda: alerts.update_one(which, {"$set": {"updated_at": ago(-self.minutes)}}),
        ]
        self._draw(st.sampled_from(acts))()

    def _damage(self) -> None:
        if newest := self._newest():
            self._counted["damaged"] += 1
            # Two records without an id do not fit into the index.
            with suppress(DuplicateKeyError):
                self._db[JOB_RECORDS].update_one({"_id": newest["_id"]}, self._draw(st.sampled_from(DAMAGES)))

    def _let_a_day_pass(self) -> None:
        """All scans but the last were made over a day ago."""
        if newest := self._newest():
            long_ago = server_now(self._db) - timedelta(days=1, minutes=1)
            self._db[JOB_RECORDS].update_many({"_id": {"$ne": newest["_id"]}}, {"$set": {"started_at": long_ago}})

    def _undo(self) -> None:
        newest = self._newest()
        if newest and "job_id" in newest:
            undo_job(self._db, newest["job_id"], dry_run=False)

    def _newest(self) -> dict[str, Any] | None:
        return self._db[JOB_RECORDS].find_one({"job_type": SCANNER}, {"job_id": 1}, sort=[("started_at", -1)])

    def _age(self) -> int:
        return self._draw(st.integers(-2, 14)) - self.minutes

    def _driver(self) -> Any:
        return self._draw(st.sampled_from(self._drivers))

    def _severity(self) -> str:
        return self._draw(st.sampled_from(["INFO", "WARNING"]))


def elect(db: AlertDatabase) -> None:
    """Let the only member step down and be elected again."""
    with suppress(AutoReconnect):
        db.client.admin.command("replSetStepDown", 1, force=True)

    def elected() -> bool:
        with suppress(PyMongoError):
            return bool(db.client.admin.command("hello")["isWritablePrimary"])
        return False

    wait_until(elected, "the election", every_s=0.05)


@pytest.mark.slow
def test_odd_values_equal_instants_elections_and_damaged_records_change_no_decision(db: AlertDatabase) -> None:
    counted: Counter[str] = Counter()
    db.alerts.create_index([("source_type", 1), ("updated_at", 1)])

    @examples(40)
    @given(data=st.data(), conditions=st.lists(EVIDENCE, min_size=1, max_size=2))
    def sequence(data: st.DataObject, conditions: list[dict[str, Any]]) -> None:
        for collection in (db.alerts, db.rules, db[JOB_RECORDS]):
            collection.delete_many({})
        fill(db, [], *(rule(f"r{number}", one) for number, one in enumerate(conditions)))
        counted["sequences"] += 1
        world = World(db, data, counted)
        for _ in range(data.draw(st.integers(2, 6))):
            world.insert()
        for _ in range(SCANS):
            _scan_as_a_full_one_would(db, world, counted)
            for _ in range(data.draw(st.integers(0, 3))):
                world.act()
            world.minutes += data.draw(st.sampled_from([-1, 0, 1, 1, 1, 2, 2, 4]))

    sequence()
    _log.info("%s", ", ".join(f"{name} {number}" for name, number in sorted(counted.items())))
    assert min(counted[name] for name in ("incremental", "checked", "elections", "damaged", "odd_ids")) > 0


def _scan_as_a_full_one_would(db: AlertDatabase, world: World, counted: Counter[str]) -> None:
    as_of = AS_OF + timedelta(minutes=world.minutes)
    expected = writable(whole_plan(db, as_of))

    report = run_scan(db, ScanRequest(as_of=as_of, allow_over_limit=(ALLOW_SCAN,)))

    assert decisions(db, report) == expected, report.full_scan_reason
    assert report.overlooked in (None, 0), report.defects
    counted["scans"] += 1
    counted["decisions"] += len(expected)
    counted["incremental"] += report.incremental_since is not None
    counted["checked"] += report.overlooked is not None
