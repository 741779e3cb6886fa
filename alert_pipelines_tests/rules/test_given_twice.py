"""Two rules of one id from a caller: a file that holds them is refused, and so are they."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from alert_pipelines.audit.rule_preview import preview_rules
from alert_pipelines.backtesting.backtest import backtest_day
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import dump_rules
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.publish import diff_rules, publish_rules
from alert_pipelines.rules.store import load_rules
from alert_pipelines_tests.factories import rule

# Of two homes: the service knows the conditions of the one alone.
TWICE = [
    Rule.model_validate(rule("r", {"expire_after_mins": 60})),
    Rule.model_validate(rule("r", {"keep_latest": True, "group_by": ["metadata.x"]})),
]


@pytest.mark.parametrize(
    "give",
    [
        diff_rules,
        publish_rules,
        lambda db, rules: preview_rules(db, rules, as_of=datetime(2025, 1, 1, tzinfo=UTC)),
        lambda db, rules: backtest_day(db, rules, date(2025, 1, 1)),
        lambda db, rules: dump_rules(rules),
    ],
    ids=["diff", "publish", "preview", "backtest", "dump"],
)
def test_of_two_rules_of_one_id_one_was_dropped_or_neither_decided_anything(
    db: AlertDatabase, give: Callable[[AlertDatabase, list[Rule]], object]
) -> None:
    with pytest.raises(AlertPipelinesError, match=r"the rules cannot be used:\n  rule 'r': given twice"):
        give(db, TWICE)
    assert load_rules(db).rule_set.rules == ()
    assert db.rules.count_documents({}) == 0
