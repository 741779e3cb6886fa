"""What a scan costs, in documents, keys, commands, modules and memory: never in seconds, so that it holds anywhere.

The alerts are those of benchmarks/growth.py, of which no condition decides any: its figures are in docs/performance.md.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

from alert_pipelines.index_advice.advice import advise, create_advised
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner import apply, readings
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.settings import LEASE_VARIABLE, LONGEST_LEASE_S
from alert_pipelines_tests.commands import recorded
from benchmarks.dataset import DUE_AFTER_MINS, SOURCE, fill, grow
from benchmarks.growth import CONDITIONS, FAST, rule_of
from benchmarks.scanning import STEP, scan_in_child
from benchmarks.workbench import AS_OF, Bench

CHECKOUT = Path(__file__).parents[2]
# These take the way of another; a first look of the last two asks for the other alerts of each: benchmarks/growth.py.
ALIKE = {"keep_first", "within_mins", "escalate_if", "count_if", "count_statuses", "count_distinct", "only_during"}
MEASURED = [name for name in CONDITIONS if name not in ALIKE | {"close_if_other", "suppress_if_other"}]
# Each takes a second or two: one of each kind is quick enough to be asked before a change.
QUICK = {"auto_close_if", "close_if_no_repeat_mins", "escalate_if_count", "expires_at"}
MEASURED_PARAMS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MEASURED]
# An index is advised to whom it spares 5,000 alerts or more.
SMALL, LARGE = 6_000, 50_000

EXPIRE = {
    "rule_id": "expire",
    "source_type": "OVERSPEEDING",
    "conditions": {"expire_after_mins": DUE_AFTER_MINS},
    "is_active": True,
}

_PLAIN_SCAN = """
from alert_pipelines.mongo import open_database
from alert_pipelines.scanner.scan import auto_close_scanner
with open_database() as db:
    auto_close_scanner(db)
"""


class Cost(NamedTuple):
    documents: int
    keys: int
    commands: int
    bytes: int


Costs: TypeAlias = Callable[[str], tuple[Cost, Cost]]


@pytest.fixture(scope="module", autouse=True)
def _no_renewal() -> Iterator[None]:
    """A scan that takes its time renews its lease, which is no cost of its work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LEASE_VARIABLE, str(LONGEST_LEASE_S))
        yield


@pytest.fixture(scope="module")
def benches(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Bench]]:
    """By size, a database with so many pending alerts of which none is due."""
    made = {}
    for pending in (SMALL, LARGE):
        settings = MongoSettings(mongo_uri, f"test_cost_{pending}", tmp_path_factory.getbasetemp())
        with open_database(settings) as db:
            grow(db, present=0, pending=pending, as_of=AS_OF)
        made[pending] = settings
    with open_database(made[SMALL]) as small, open_database(made[LARGE]) as large:
        yield {SMALL: Bench(small, mongo_uri), LARGE: Bench(large, mongo_uri)}
        for db in (small, large):
            db.client.drop_database(db.name)


def cost_of(bench: Bench, scan: Callable[[AlertDatabase], ScanReport]) -> tuple[Cost, ScanReport]:
    """What one scan examines and sends, as the profiler and the driver have it."""
    db = bench.db
    db.drop_collection("system.profile")
    db.command("profile", 2)
    try:
        with recorded(db, bench.uri) as (watched, recorder):
            report = scan(watched)
            commands = len(recorder.of_the_program())
            ran = [entry for entry in db["system.profile"].find() if entry["ns"] != f"{db.name}.system.profile"]
    finally:
        db.command("profile", 0)
    examined = [sum(entry.get(name, 0) for entry in ran) for name in ("docsExamined", "keysExamined", "responseLength")]
    return Cost(examined[0], examined[1], commands, examined[2]), report


@pytest.fixture(scope="module")
def costs(benches: dict[int, Bench]) -> Costs:
    """What a scan with nothing to do costs, of each condition by the two sizes; measured once."""
    return cache(lambda condition: (nothing_to_do(benches[SMALL], condition), nothing_to_do(benches[LARGE], condition)))


def nothing_to_do(bench: Bench, condition: str) -> Cost:
    """What a scan costs of which nothing is due, five minutes after one of the same rule."""
    db, rule = bench.db, rule_of(condition)
    db.rules.delete_many({})
    db.background_jobs.delete_many({})
    if rule:
        db.rules.insert_one(rule)
    create_advised(db, advise(db, AS_OF))
    run_scan(db, ScanRequest(as_of=AS_OF))
    cost, report = cost_of(bench, lambda watched: run_scan(watched, ScanRequest(as_of=AS_OF + STEP)))
    assert (report.planned, report.errors) == ((), ())
    return cost


@pytest.mark.parametrize("condition", MEASURED_PARAMS)
def test_with_nothing_due_a_scan_reads_no_more_the_more_is_pending(costs: Costs, condition: str) -> None:
    small, large = costs(condition)
    assert large.documents == small.documents <= 20
    # `total_checked` is counted from an index, a key an alert.
    assert large.keys - LARGE == small.keys - SMALL <= 20
    assert large.bytes <= 1.05 * small.bytes


@pytest.mark.parametrize("condition", MEASURED_PARAMS)
def test_with_nothing_due_a_scan_asks_as_often_the_more_is_pending(costs: Costs, condition: str) -> None:
    small, large = costs(condition)
    assert large.commands == small.commands <= 26


@pytest.mark.slow
def test_with_nothing_due_the_process_is_as_large_the_more_is_pending(benches: dict[int, Bench]) -> None:
    peaks = []
    for bench in benches.values():
        bench.db.rules.delete_many({})
        bench.db.rules.insert_many([rule for name in MEASURED if (rule := rule_of(name))])
        done = scan_in_child(bench, AS_OF)
        assert done.scans[0].failed is None
        peaks.append(done.peak_rss_mb)
    assert peaks[1] <= 1.1 * peaks[0]


GROUPED: dict[str, dict[str, Any]] = {
    "keep_latest": {"keep_latest": True},
    "keep_first": {"keep_first": True},
    "close_if_no_repeat_mins": {"close_if_no_repeat_mins": 2 * DUE_AFTER_MINS},
    "escalate_if_count": {"escalate_if_count": LARGE, "window_mins": 60},
}


@pytest.mark.parametrize("key", ["metadata.speed", "metadata.location"])
def test_a_key_without_an_index_once_made_keep_latest_read_all_alerts_for_each_value_of_it(
    benches: dict[int, Bench], key: str
) -> None:
    bench, read = benches[SMALL], {}
    for name, conditions in GROUPED.items():
        bench.db.rules.delete_many({})
        bench.db.rules.insert_one(EXPIRE | {"rule_id": name, "conditions": {**conditions, "group_by": key}})
        cost, report = cost_of(bench, lambda watched: run_scan(watched, ScanRequest(as_of=AS_OF, dry_run=True)))
        assert report.failed_rules == ()
        read[name] = cost.documents
    assert max(read.values()) <= 3 * min(read.values())


def test_a_first_look_once_was_one_query_however_many_alerts_there_were(
    benches: dict[int, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "SLICE", 1_000)
    bench = benches[SMALL]
    for key in ("metadata.driver_id", "metadata.location"):
        bench.db.rules.delete_many({})
        count = {"escalate_if_count": 3, "window_mins": 60, "group_by": key}
        bench.db.rules.insert_one(EXPIRE | {"rule_id": "count", "conditions": count})
        cost_of(bench, lambda watched: run_scan(watched, ScanRequest(as_of=AS_OF, dry_run=True)))
        looks = bench.db["system.profile"].find({"command.aggregate": "alerts"})
        # A sample of so few alerts reads them all; of many it does not.
        examined = [look["docsExamined"] for look in looks if "$sample" not in look["command"]["pipeline"][0]]
        # Slices are about equal; spans of time also read the window before them.
        assert max(examined) <= 3 * 1_000
        assert SMALL <= sum(examined) <= 3 * SMALL


@pytest.mark.parametrize(
    "conditions",
    [
        {"close_if_other": {"source_type": SOURCE, "if": FAST}},
        {"close_if_other": {"source_type": SOURCE, "if": FAST, "when": "any"}},
        {"expire_after_mins": DUE_AFTER_MINS // 2, "suppress_if_other": {"source_type": SOURCE, "if": FAST}},
        {"keep_first": True, "suppress_if_other": {"source_type": SOURCE, "if": FAST}},
    ],
)
@pytest.mark.parametrize("slice_size", [SMALL, 1_000])
def test_a_first_look_once_asked_for_the_others_of_each_alert_though_a_key_has_the_same(
    benches: dict[int, Bench], monkeypatch: pytest.MonkeyPatch, conditions: dict[str, Any], slice_size: int
) -> None:
    monkeypatch.setattr(readings, "SLICE", slice_size)
    bench = benches[SMALL]
    bench.db.rules.delete_many({})
    bench.db.rules.insert_one(EXPIRE | {"rule_id": "by_others", "conditions": conditions})
    cost_of(bench, lambda watched: run_scan(watched, ScanRequest(as_of=AS_OF, dry_run=True)))
    looks_up = {"command.aggregate": "alerts", "command.pipeline.$lookup": {"$exists": True}}
    examined = [look["docsExamined"] for look in bench.db["system.profile"].find(looks_up)]
    # Each alert, and for its key each of the others once.
    assert 0 < sum(examined) <= 2 * SMALL


@pytest.mark.parametrize(
    "conditions",
    [
        {"close_if_other": {"source_type": SOURCE, "if": FAST}},
        {"close_if_other": {"source_type": SOURCE, "when": "any", "match": {"metadata.location": "metadata.speed"}}},
    ],
)
def test_without_an_index_all_others_were_read_for_each_key(
    benches: dict[int, Bench], conditions: dict[str, Any]
) -> None:
    bench = benches[SMALL]
    bench.db.rules.delete_many({})
    by_no_index = {**conditions, "group_by": "metadata.location"}
    bench.db.rules.insert_one(EXPIRE | {"rule_id": "by_others", "conditions": by_no_index})
    cost, _ = cost_of(bench, lambda watched: run_scan(watched, ScanRequest(as_of=AS_OF, dry_run=True)))
    # Each alert, and each of the others, which are the same alerts; and to count them.
    assert cost.documents <= 4 * SMALL


@pytest.fixture
def bench(db: AlertDatabase, mongo_uri: str) -> Bench:
    return Bench(db, mongo_uri)


def closing(bench: Bench, due: int) -> Cost:
    """What the first scan of a rule costs that closes `due` alerts."""
    db = bench.db
    fill(db, pending=SMALL, due=due, as_of=AS_OF)
    for collection in (db.rules, db.rule_versions, db.background_jobs):
        collection.delete_many({})
    db.rules.insert_one(dict(EXPIRE))
    cost, report = cost_of(bench, lambda watched: run_scan(watched, ScanRequest(as_of=AS_OF)))
    assert report.closed == due
    return cost


def test_a_close_once_read_its_alert_a_third_time_to_count_it(bench: Bench) -> None:
    assert closing(bench, 1_000).documents <= 2 * 1_000 + 30


def test_a_batch_of_writes_is_one_round_trip(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "BATCH", 500)
    in_one = closing(bench, 500)
    monkeypatch.setattr(apply, "BATCH", 50)
    assert closing(bench, 500).commands - in_one.commands == 9


def test_closing_more_alerts_takes_no_more_round_trips_within_a_batch(bench: Bench) -> None:
    assert closing(bench, 10).commands == closing(bench, 4_000).commands


def loaded_by(bench: Bench, program: str) -> set[str]:
    """The modules that a process has loaded at the end of `program`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"],
        cwd=CHECKOUT,
        env=bench.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_a_scan_loads_neither_dagster_nor_what_only_reports_need(bench: Bench) -> None:
    loaded = loaded_by(bench, _PLAIN_SCAN)
    assert "alert_pipelines.scanner.scan" in loaded
    assert not loaded & {"dagster", "pandas", "numpy", "matplotlib", "apprise", "prometheus_client"}


def test_a_run_worker_loads_no_loader(bench: Bench) -> None:
    loaded = loaded_by(bench, "import alert_pipelines.definitions")
    assert "alert_pipelines.scanner.scan" in loaded
    assert not {name for name in loaded if name.startswith("alert_pipelines.loading")}
