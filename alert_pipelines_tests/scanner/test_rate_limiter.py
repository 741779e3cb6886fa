"""The bound on how fast a scan writes."""

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.rate_limiter import RateLimiter
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.settings import RATE_VARIABLE
from alert_pipelines_tests.commands import recorded
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule


def test_a_bounded_scan_takes_as_long_as_the_bound_says_at_least(
    db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RATE_VARIABLE, "100")
    fill(db, [alert(minutes=90) for _ in range(150)], rule("expire", {"expire_after_mins": 60}))
    with recorded(db, mongo_uri) as (watched, recorder):
        report = run_scan(watched, ScanRequest(as_of=AS_OF))
    assert report.closed == 150
    # The last of thirty batches of 5 may begin when 145 have had their time.
    assert report.seconds["apply"] >= 1.45
    assert sum(command.get("update") == "alerts" for command in recorder.commands) == 30


def give_up() -> None:
    """As a check that is asked while one waits."""
    raise InterruptedError


def test_one_who_waits_gives_up_when_told() -> None:
    limiter = RateLimiter(1)
    limiter.wait(3600, lambda: None)
    with pytest.raises(InterruptedError):
        limiter.wait(1, give_up)


def test_without_a_bound_nobody_waits() -> None:
    limiter = RateLimiter(None)
    for _ in range(2):
        limiter.wait(1_000_000, give_up)
    assert limiter.batch(5_000) == 5_000
