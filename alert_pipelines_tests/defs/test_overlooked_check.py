"""The check of the scan that is made once a day to check the incremental ones."""

from datetime import timedelta

import pytest

from alert_pipelines.defs.asset_specs import NONE_OVERLOOKED
from alert_pipelines.defs.standing_verdicts import JUDGED_IN
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, check_verdicts
from alert_pipelines_tests.defs.test_assets import ALL_PASSED
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule
from alert_pipelines_tests.scanner.test_overlooked import blind, scan_since_yesterday


def test_what_incremental_scans_overlook_fails_a_check_whose_verdict_stays(
    execute: Execute, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=40)], rule("latest", {"keep_latest": True}))
    assert check_verdicts(execute(as_of=AS_OF.isoformat())) == ALL_PASSED
    scan_since_yesterday(db)
    fill(db, [alert("new", minutes=30)])
    with monkeypatch.context() as patched:
        blind(patched)
        full = execute(as_of=(AS_OF + timedelta(minutes=5)).isoformat())
    incremental = execute(as_of=(AS_OF + timedelta(minutes=6)).isoformat())

    assert full.success
    for result in (full, incremental):
        assert check_verdicts(result) == ALL_PASSED | {NONE_OVERLOOKED: False}
        (verdict,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
        assert verdict.severity.value == "ERROR"
        assert verdict.description is not None
        assert "would have overlooked 1 due alerts" in verdict.description
        assert "- alert 'old'" in verdict.description
        assert (JUDGED_IN in verdict.metadata) == (result is incremental)
