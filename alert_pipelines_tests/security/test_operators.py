"""A rule's text never reaches the server as an operator: random rules with operators smuggled in anywhere.

What is sent is what a listener on the connection hears. Every text that comes from the rule bears a mark, so where a
mark is found it is known to be the rule's, and where an operator bears none it is the compiler's.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient, monitoring

from alert_pipelines.audit.explain import explain_alert
from alert_pipelines.errors import RuleError
from alert_pipelines.mongo import AlertDatabase, AlertDocument
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill
from alert_pipelines_tests.reliability.fleet import scan

MARK = "mArK"
_EXAMPLES = int(os.environ.get("ALERT_PIPELINES_EXAMPLES", "120"))

# Each a text that would do harm, or at least something else, were it read as what it looks like.
_TEXTS = st.sampled_from(
    [
        *(f"${MARK}", f"$${MARK}", f"$$ROOT.{MARK}", f"$where{MARK}", f"{MARK}.$[]", f"{MARK}\0$ne", f"$expr.{MARK}"),
        *(f"{MARK}.$where", f"{MARK}.$", f"metadata.${MARK}", f"metadata.{MARK}", f"{MARK}", f"status.{MARK}"),
        *(f"{MARK}');sleep(9999);('", f"this.{MARK}", f'{{"$gt": "{MARK}"}}', f"{MARK}.0", f"{MARK}..x"),
    ]
)
_PATHS = st.one_of(st.sampled_from([MARK, f"metadata.{MARK}", f"metadata.{MARK}.{MARK}"]), _TEXTS)
_OPERATORS = st.sampled_from(["$where", "$expr", "$function", "$ne", "$gt", "$regex", "$in", "$set", "$out", "$merge"])
_SMUGGLED: st.SearchStrategy[Any] = st.one_of(
    st.dictionaries(_OPERATORS, st.one_of(_TEXTS, st.just({}), st.lists(_TEXTS, max_size=2)), min_size=1, max_size=2),
    st.lists(st.dictionaries(_OPERATORS, _TEXTS, min_size=1, max_size=1), min_size=1, max_size=2),
)


def _or_smuggled(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * 30 + [_SMUGGLED]).flatmap(lambda chosen: chosen)


def _leaf() -> st.SearchStrategy[Any]:
    ops = ["eq", "ne", "lt", "gte", "in", "not_in", "exists", "missing", "older_than_mins"]

    def of(op: str) -> st.SearchStrategy[Any]:
        values: st.SearchStrategy[Any] = _TEXTS
        if op in ("in", "not_in"):
            values = st.lists(_or_smuggled(_TEXTS), min_size=1, max_size=3)
        elif op == "older_than_mins":
            values = st.just(5)
        parts = {"field": _or_smuggled(_PATHS), "op": st.sampled_from([op] * 30 + ["$where", "$expr"])}
        return st.fixed_dictionaries(parts if op in ("exists", "missing") else {**parts, "value": _or_smuggled(values)})

    return st.sampled_from(ops).flatmap(of)


def _tree() -> st.SearchStrategy[Any]:
    leaf = _or_smuggled(_leaf())
    node = st.one_of(
        st.fixed_dictionaries({"all": st.lists(leaf, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(leaf, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": leaf}),
    )
    return _or_smuggled(st.one_of(leaf, node))


@st.composite
def _rules(draw: st.DrawFn) -> dict[str, Any]:
    deciding = {
        "auto_close_if": _or_smuggled(st.one_of(st.just(MARK), _TEXTS)),
        "close_if": _tree(),
        "keep_latest": _or_smuggled(st.just(True)),
        "close_if_no_repeat_mins": _or_smuggled(st.just(5)),
        "escalate_if_count": _or_smuggled(st.just(1)),
    }
    limiting = {
        "group_by": _or_smuggled(st.one_of(_PATHS, st.lists(_PATHS, min_size=1, max_size=2))),
        "severities": _or_smuggled(st.just(["INFO"])),
        "hold_mins": _or_smuggled(st.just(5)),
    }
    names = draw(st.lists(st.sampled_from(sorted(deciding)), min_size=1, max_size=2, unique=True))
    conditions = {name: draw(deciding[name]) for name in names}
    conditions |= {name: draw(limiting[name]) for name in draw(st.sets(st.sampled_from(sorted(limiting)), max_size=2))}
    conditions |= draw(st.sampled_from([{}] * 20 + [{"$where": MARK}, {f"${MARK}": 1}]))
    return {
        "rule_id": draw(_or_smuggled(st.sampled_from(["r1", "r1", f"r.{MARK}", f"r:${MARK}"]))),
        "source_type": draw(_or_smuggled(st.one_of(st.just("OVERSPEEDING"), _TEXTS))),
        "name": draw(_or_smuggled(_TEXTS)),
        "description": draw(_or_smuggled(_TEXTS)),
        "conditions": conditions,
        "is_active": True,
        "priority": draw(_or_smuggled(st.just(0))),
    }


class Heard(monitoring.CommandListener):
    """Every command about alerts that was sent."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command.get(event.command_name) == "alerts":
            self.commands.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def check_operators(value: Any, path: tuple[str, ...] = ()) -> int:
    """Assert that no mark stands where the server reads an operator or an expression; how many marks were seen."""
    if isinstance(value, dict):
        seen = 0
        for name, part in value.items():
            assert not (name.startswith("$") and MARK in name), (name, path)
            assert ".$" not in name, (name, path)
            assert name not in ("$where", "$function", "$accumulator", "$regex", "$out", "$merge"), (name, path)
            seen += MARK in name
            seen += check_operators(part, (*path, name))
        return seen
    if isinstance(value, list | tuple):
        return sum(check_operators(part, path) for part in value)
    if not (isinstance(value, str) and MARK in value):
        return 0
    assert _is_a_value(path) or _is_a_checked_path(value), (value, path)
    return 1


def _is_a_value(path: tuple[str, ...]) -> bool:
    """Whether a text at `path` of a command is data: a literal, or compared in a filter and not in an expression."""
    return "$literal" in path or not {"$expr", "$set", "$project", "$group", "$setWindowFields", "let"} & set(path)


def _is_a_checked_path(value: str) -> bool:
    """Whether an expression names a field of the alert by a path of the rule's, which holds no `$` of its own."""
    return value.startswith("$") and not value.startswith("$$") and "$" not in value[1:]


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture
def heard_db(db: AlertDatabase, mongo_uri: str, heard: Heard) -> Iterator[AlertDatabase]:
    with MongoClient[AlertDocument](mongo_uri, tz_aware=True, event_listeners=[heard]) as client:
        yield client[db.name]


@pytest.mark.slow
@settings(
    max_examples=_EXAMPLES,
    derandomize="ALERT_PIPELINES_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(document=_rules())
def test_a_rule_is_refused_or_its_text_is_only_ever_compared(
    heard_db: AlertDatabase, heard: Heard, document: dict[str, Any]
) -> None:
    for name in ("alerts", "rules", "background_jobs"):
        heard_db[name].delete_many({})
    marked = {MARK: MARK, "driver_id": MARK}
    fill(
        heard_db,
        [
            alert("due", minutes=120, metadata=marked, source_type=_text(document["source_type"]), updated_at=ago(60)),
            alert("newer", minutes=60, metadata=marked, source_type=_text(document["source_type"])),
            alert("other", minutes=5, driver="D2", source_type="SAFETY"),
        ],
    )
    heard_db.rules.insert_one(dict(document))
    heard.commands.clear()
    report = scan(heard_db)
    explain_alert(heard_db, "due", as_of=AS_OF + timedelta(hours=1))
    seen = sum(check_operators(command) for command in heard.commands)
    try:
        parse_rule(document)
    except RuleError:
        assert len(report.bad_rules) == 1
        assert not report.decisions
        # Only what the test itself asks for by its own words.
        assert not seen
    else:
        assert not report.bad_rules, report.bad_rules
        assert not any(isinstance(part, dict) for part in (document["name"], document["source_type"]))
    assert heard_db.alerts.count_documents({}) == 3


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "OVERSPEEDING"


def test_the_check_finds_an_operator_that_got_through() -> None:
    for command in (
        {"filter": {f"${MARK}": 1}},
        {"filter": {"$where": "1"}},
        {"pipeline": [{"$set": {"reason": f"$${MARK}"}}]},
        {"pipeline": [{"$match": {"$expr": {"$eq": [f"{MARK}", 1]}}}]},
    ):
        with pytest.raises(AssertionError):
            check_operators(command)
    assert check_operators({"filter": {"metadata.x": {"$eq": f"${MARK}"}}}) == 1
