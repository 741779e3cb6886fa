"""What the tests of the scan's op share: rules, alerts to decide, and the verdicts of a good scan."""

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.factories import alert, fill, rule

EXPIRE = rule("old", {"expire_after_mins": 60})
ESCALATE = rule("often", {"escalate_if_count": 2, "window_mins": 60})
ALL_PASSED = {"rules_valid": True, "within_limits": True, "no_alert_errors": True, "records_reconcile": True}


def fill_with_work(db: AlertDatabase) -> None:
    """One alert to close, two to escalate, one to leave."""
    old = alert("old", minutes=120, driver="D0")
    twice = [alert("first", minutes=20), alert("second", minutes=10)]
    fill(db, [old, *twice, alert("lone", minutes=5, driver="D2")], EXPIRE, ESCALATE)
