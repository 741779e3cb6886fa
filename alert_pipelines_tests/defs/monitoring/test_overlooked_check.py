"""The check of the scan that is made once a day to check the incremental ones."""

from datetime import timedelta

import pytest
from dagster import DagsterInstance

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, check_verdicts
from alert_pipelines_tests.defs.monitoring.test_health_checks import checked
from alert_pipelines_tests.defs.scan.scans import ALL_PASSED
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule
from alert_pipelines_tests.scanner.test_overlooked import blind, scan_since_yesterday


@pytest.mark.slow
def test_what_incremental_scans_overlook_fails_a_check_whose_verdict_stays(
    execute: Execute, instance: DagsterInstance, db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, [alert("old", minutes=40)], rule("latest", {"keep_latest": True}))
    assert check_verdicts(execute(as_of=AS_OF.isoformat())) == ALL_PASSED
    assert checked(instance)["none_overlooked"].passed
    scan_since_yesterday(db)
    fill(db, [alert("new", minutes=30)])
    with monkeypatch.context() as patched:
        blind(patched)
        assert execute(as_of=(AS_OF + timedelta(minutes=5)).isoformat()).success

    for _ in range(2):
        verdict = checked(instance)["none_overlooked"]
        assert (verdict.passed, verdict.severity.value) == (False, "ERROR")
        assert verdict.description is not None
        assert "would have overlooked 1 due alerts" in verdict.description
        assert "- alert 'old'" in verdict.description
        assert check_verdicts(execute(as_of=(AS_OF + timedelta(minutes=6)).isoformat())) == ALL_PASSED
