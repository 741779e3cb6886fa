"""Changed rules, previewed in the UI on the alerts of now."""

from datetime import UTC, datetime, timedelta

import yaml

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.defs.conftest import Execute, failure_text, observed
from alert_pipelines_tests.factories import alert, fill, rule


def test_it_took_a_publish_to_see_what_a_changed_rule_would_do(execute: Execute, db: AlertDatabase) -> None:
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    fill(db, [alert(timestamp=two_hours_ago)], rule("old", {"expire_after_mins": 600}))
    before = list(db.rules.find())
    changed = rule("old", {"expire_after_mins": 60, "max_close": 0})
    seen = observed(execute("preview_rules_job", "preview", rules=yaml.safe_dump([changed])))
    assert seen["asset"] == "dry_runs"
    (group,) = [row.data for row in seen["more and fewer than by the rules in force"].records]
    assert group == {
        "change": "more",
        "decision": "close",
        "rule": "old",
        "source": "OVERSPEEDING",
        "status": "OPEN",
        "alerts": 1,
    }
    assert "rule 'old' would close 1" in seen["would be blocked"]
    assert seen["database"] == db.name
    assert list(db.rules.find()) == before
    assert db.background_jobs.count_documents({}) == 0


def test_rules_that_change_nothing_show_no_table(execute: Execute, db: AlertDatabase) -> None:
    same = rule("old", {"expire_after_mins": 60})
    fill(db, [alert("due", minutes=90)], same)
    seen = observed(execute("preview_rules_job", "preview", rules=yaml.safe_dump([same])))
    assert "more and fewer than by the rules in force" not in seen


def test_a_text_that_is_not_yaml_is_named(execute: Execute, db: AlertDatabase) -> None:
    result = execute("preview_rules_job", "preview", rules="- {")
    assert "the rules are not valid YAML" in failure_text(result, "preview")
