"""Rule sets that scans kept: anybody may have edited what is stored of them."""

from typing import Any

import pytest

from alert_pipelines.audit.decisions import decisions_of_alert
from alert_pipelines.errors import UnknownVersionError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.store import rule_text
from alert_pipelines.rules.versions import find_rule_set, history_of_rules, rules_to_return
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule

UNREADABLE = [None, 5, "not JSON", "[1]", '[{"a": 1}]', '{"a": 1}', '[{"rule_id": ["r"], "conditions": {}}]']


@pytest.mark.parametrize("text", UNREADABLE)
def test_one_rule_set_whose_text_cannot_be_read_stopped_every_scan_and_the_history(
    bare_db: AlertDatabase, text: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bare_db.rule_versions.insert_one({"version": "damaged", "text": text, "first_used_at": AS_OF})
    decided = {"job_id": "J", "triggered_by": "system", "rule_set_version": "damaged", "rule_triggered": "old"}
    # As the first edition published it, and the service's API edited it since.
    edited = rule("edited", {"expire_after_mins": 60}, published={"hash": "another"})
    alerts = [alert("A", minutes=90, state_history=[decided]), alert("B", minutes=90)]
    fill(bare_db, alerts, edited, rule("old", {"expire_after_mins": 60}))
    assert auto_close_scanner(bare_db, as_of=AS_OF)["auto_closed"] == 2
    assert next(entry.rule for entry in decisions_of_alert(bare_db, "A")) is None
    assert rule_text(bare_db, "damaged", "old") is None
    [kept] = history_of_rules(bare_db, 10)
    assert [change.rule_id for change in kept.changes] == ["old"]
    assert "The rule set 'damaged' was left out: its text in rule_versions is not valid" in caplog.text


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_return_to_a_rule_set_that_cannot_be_read_is_refused(bare_db: AlertDatabase, text: Any) -> None:
    bare_db.rule_versions.insert_one({"version": "damaged", "text": text, "first_used_at": AS_OF})
    for asked in (find_rule_set, rules_to_return):
        with pytest.raises(UnknownVersionError, match="'damaged' cannot be used: its text in rule_versions is not val"):
            asked(bare_db, "dama")
