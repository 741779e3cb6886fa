"""Twenty processes start a scan of one database at the same moment, again and again: scans never overlap."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.errors import ScanAlreadyRunningError
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines_tests.factories import AS_OF
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.reliability.child import PROCESSES
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import check_all_decided, check_whole_or_untouched, fill_fleet

pytestmark = pytest.mark.process

SCANNERS = 20
ALERTS = 90

Results = list[tuple[str, int]]


def _scan_in_rounds(uri: str, name: str, rounds: int, together: Any, outcomes: Any) -> None:
    with open_database(MongoSettings(uri, name, Path())) as db:
        for _ in range(rounds):
            together.wait(LIMIT_S)
            try:
                summary = auto_close_scanner(db, as_of=AS_OF)
                outcome = ("completed", summary["alerts_closed"] + summary["alerts_escalated"])
            except ScanAlreadyRunningError:
                outcome = ("refused", 0)
            except Exception as error:
                outcome = (f"{type(error).__name__}: {error}", 0)
            outcomes.put(outcome)


def race(db: AlertDatabase, uri: str, rounds: int) -> Counter[str]:
    """Let SCANNERS processes start a scan together, `rounds` times; the outcomes of all."""
    together, outcomes = PROCESSES.Barrier(SCANNERS + 1), PROCESSES.Queue()
    arguments = (uri, db.name, rounds, together, outcomes)
    scanners = [PROCESSES.Process(target=_scan_in_rounds, args=arguments, daemon=True) for _ in range(SCANNERS)]
    total: Counter[str] = Counter()
    try:
        for scanner in scanners:
            scanner.start()
        for _ in range(rounds):
            originals = fill_fleet(db, ALERTS)
            together.wait(LIMIT_S)
            results: Results = [outcomes.get(timeout=LIMIT_S) for _ in scanners]
            total.update(outcome for outcome, _ in results)
            assert sum(decided for _, decided in results) == ALERTS * 2 // 3
            check_all_decided(db, originals)
            check_no_overlap(db, total)
            total["decisions"] += check_whole_or_untouched(db, originals).total()
    finally:
        for scanner in scanners:
            scanner.kill()
            scanner.join()
    return total


def check_no_overlap(db: AlertDatabase, total: Counter[str]) -> None:
    records = list(db.background_jobs.find().sort([("started_at", 1), ("completed_at", 1)]))
    assert {record["status"] for record in records} == {"completed"}
    for earlier, later in pairwise(records):
        assert earlier["completed_at"] <= later["started_at"], (earlier, later)
    total["records"] += len(records)


def test_scans_started_together_never_overlap(db: AlertDatabase, mongo_uri: str, figures: Figures) -> None:
    expect(race(db, mongo_uri, rounds=5), rounds=5, figures=figures)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_scans_started_together_never_overlap_in_many_rounds(
    db: AlertDatabase, mongo_uri: str, figures: Figures
) -> None:
    expect(race(db, mongo_uri, rounds=60), rounds=60, figures=figures)


def expect(total: Counter[str], *, rounds: int, figures: Figures) -> None:
    assert total.keys() <= {"completed", "refused", "records", "decisions"}
    assert total["completed"] + total["refused"] == SCANNERS * rounds
    assert total["completed"] == total["records"] >= rounds
    assert total["refused"] > 0, "nobody contended"
    figures(rounds=rounds, **total)
