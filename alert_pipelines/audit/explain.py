"""Explains one alert: each test of each rule at as_of, and past decisions.

The database evaluates it: each compiled test and each clause runs against this one alert.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import Any

from bson.datetime_ms import DatetimeMS

from alert_pipelines.alerts import COLLECTION, PENDING, Status, find_alert
from alert_pipelines.alerts.decision_counts import Decision, decision_of
from alert_pipelines.alerts.filters import equal_to_any
from alert_pipelines.alerts.malformed import UNWRITABLE, malformed_dates, why_unwritable
from alert_pipelines.audit.decisions import is_automatic, value_in_words
from alert_pipelines.mongo.bson_types import kind_of
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.clause import Clause, Filter, OtherAlerts, Predicate
from alert_pipelines.rules.compiler import compile_rules
from alert_pipelines.rules.maintenance import why_it_holds
from alert_pipelines.rules.model import Mode, Rule
from alert_pipelines.rules.sentences import sentence
from alert_pipelines.rules.store import load_rules, load_windows
from alert_pipelines.rules.tree_words import reason_in_words
from alert_pipelines.rules.window_compiler import WindowsAt, alerts_of
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.timestamps import as_of_utc

MAX_EVIDENCE = 20
MAX_COUNTED = 1_000
"""Where no index finds the alerts of a key, counting a hundred thousand of them takes seconds and tells nobody more."""
_TESTS_A_QUERY = 200


@dataclass(frozen=True)
class TestResult:
    """One test of the alert itself, the values it looked at (absent fields left out), and whether it holds.

    `kinds` says of each value whether it is a text, a number, a date and so on: a test compares only like with like.
    """

    name: str
    description: str
    values: dict[str, Any]
    kinds: dict[str, str]
    holds: bool

    @property
    def values_in_words(self) -> str:
        """The values with texts in quotes; where the test does not hold, with their kinds."""
        return ", ".join(
            f"{path} = {value_in_words(value)}{'' if self.holds else f' ({self.kinds[path]})'}"
            for path, value in self.values.items()
        )


@dataclass(frozen=True)
class ClauseResult:
    """One deciding condition: its tests, the other alerts that count (the first 20 ids of `evidence_total`), and
    whether the alert is due by it. MAX_COUNTED as the total means that there may be more."""

    rule_id: str
    mode: Mode
    condition: str
    decision: Decision
    description: str
    due: bool
    tests: tuple[TestResult, ...]
    evidence: tuple[str, ...]
    evidence_total: int

    @property
    def evidence_not_named(self) -> str:
        """How many other alerts count besides those named, for people; empty if none."""
        more = self.evidence_total - len(self.evidence)
        return f"{'at least ' if self.evidence_total == MAX_COUNTED else ''}{more}" if more else ""


_DONE = {str(Status.AUTO_CLOSED): "Closed", str(Status.ESCALATED): "Escalated"}


@dataclass(frozen=True)
class Explanation:
    """What each rule decides about one alert at `as_of`.

    `decided_by` is the clause whose decision a scan at `as_of` would write, blast-radius limits aside; `why` says
    so in words, also why not. `malformed` is what is wrong with the dates of a pending alert. `clauses` come in
    precedence order, shadow ones last. `past` are the entries of the history that jobs left, the older service's too.
    `rules` says each rule that concerns it in one sentence, by its id. `windows` are the maintenance windows that
    cover it: those that hold at `as_of`, which are `held_by`, and those in which it was raised; `problems` names rules
    and windows that cannot be read.
    """

    alert_id: str
    source_type: str
    status: str
    timestamp: Any
    as_of: datetime
    rule_set_version: str
    decided_by: ClauseResult | None
    why: str
    malformed: tuple[str, ...]
    clauses: tuple[ClauseResult, ...]
    past: tuple[dict[str, Any], ...]
    windows: tuple[MaintenanceWindow, ...]
    held_by: tuple[MaintenanceWindow, ...]
    problems: tuple[str, ...]
    rules: Mapping[str, str]

    @property
    def answer(self) -> str:
        """What people ask first: what was decided last and why, then what a scan would do."""
        return f"{_last_decision(self.past)}A scan at {_moment(self.as_of)}{reason_in_words(self._next())}."

    def _next(self) -> str:
        if self.decided_by is not None:
            return f": {self.why}"
        if self.status not in PENDING:
            return f" would leave it: it is not pending, but {self.status}"
        if self.held_by:
            return f" would leave it: {'; '.join(_hold(window, self.as_of) for window in self.held_by)}"
        lacking: dict[str, list[str]] = {}
        for clause in self.clauses:
            if clause.mode is Mode.ACTIVE:
                lacking.setdefault(_missing(clause), []).append(clause.rule_id)
        needs = [f"{' and '.join(ids)} need{'s' if len(ids) == 1 else ''}: {test}" for test, ids in lacking.items()]
        return f" would leave it: {'; '.join(needs) or self.why}"


@at_the_door
def explain_alert(db: AlertDatabase, alert_id: str, *, as_of: datetime | None = None) -> Explanation:
    """Explain one alert: each predicate of each rule, and what a scan would decide.

    Args:
        db: The database of the alerts.
        alert_id: The `alert_id` of the alert.
        as_of: The time to evaluate the rules at; UTC if it has no zone. None: the server's clock.

    Returns:
        The predicates of each rule with the alert's values, the evidence, and past decisions.

    Raises:
        AlertNotFoundError: No alert has this id.
        SharedAlertIdError: Several alerts have this id.
        InvalidTimestampError: `as_of` is outside the years 1000 to 8999.

    Example:
        >>> print(explain_alert(db, "A1").why)
        rule 'old' would close it: timestamp is 60 or more minutes old
    """
    alert = find_alert(db, alert_id)
    at = server_now(db) if as_of is None else as_of_utc(as_of)
    loaded, loaded_windows = load_rules(db), load_windows(db, at)
    windows = loaded_windows.windows

    def concerning(rules: Sequence[Rule]) -> list[Rule]:
        return [rule for rule in rules if rule.concerns(alert.get("source_type"))]

    explainer, windows_at = _Explainer(db, alert), WindowsAt(windows, at)
    active_rules, shadow_rules = concerning(loaded.rule_set.active), concerning(loaded.rule_set.shadow)
    may_expire = alert.get("expires_at") is not None
    active_clauses = compile_rules(active_rules, at, windows_at, with_expires_at=may_expire)
    active = explainer.results(active_clauses, Mode.ACTIVE)
    shadow = explainer.results(compile_rules(shadow_rules, at, windows_at, with_expires_at=False), Mode.SHADOW)
    decided_by = next((result for result in active if result.due), None)
    covering = explainer.named_by([window for window in windows if window.span_about(alert.get("timestamp"), at)])
    history = alert.get("state_history")
    entries = history if isinstance(history, list) else []
    return Explanation(
        alert_id=alert_id,
        source_type=str(alert.get("source_type")),
        status=str(alert.get("status")),
        timestamp=alert.get("timestamp"),
        as_of=at,
        rule_set_version=loaded.rule_set.version,
        decided_by=decided_by,
        why=_why(decided_by, active, explainer.unwritable()),
        malformed=tuple(malformed_dates(db[COLLECTION], at, alert["_id"])),
        clauses=(*active, *shadow),
        past=tuple(entry for entry in entries if is_automatic(entry)),
        windows=covering,
        held_by=tuple(window for window in covering if window.holds_at(at)),
        problems=(*map(str, loaded.errors), *loaded_windows.errors),
        rules={rule.rule_id: sentence(rule) for rule in (*active_rules, *shadow_rules)},
    )


class _Explainer:
    def __init__(self, db: AlertDatabase, alert: dict[str, Any]) -> None:
        self._alerts = db[COLLECTION]
        self._alert = alert
        self._one: Filter = {"_id": alert["_id"]}

    def unwritable(self) -> dict[str, Any] | None:
        """What UNWRITABLE gives of the alert; None if a decision can be written to it."""
        found = self._alerts.aggregate([{"$match": self._one}, {"$project": {"unwritable": UNWRITABLE}}])
        unwritable: dict[str, Any] | None = next(found, {}).get("unwritable")
        return unwritable

    def named_by(self, windows: Sequence[MaintenanceWindow]) -> tuple[MaintenanceWindow, ...]:
        """Those of the windows that name the alert."""
        return tuple(compress(windows, self._holds([alerts_of([window]) for window in windows])))

    def results(self, clauses: Sequence[Clause], mode: Mode) -> list[ClauseResult]:
        holds = self._holds([test.filter for clause in clauses for test in clause.predicates])
        return [self._result(clause, mode, [next(holds) for _ in clause.predicates]) for clause in clauses]

    def _result(self, clause: Clause, mode: Mode, holds: Sequence[bool]) -> ClauseResult:
        evidence, total = self._evidence(clause)
        return ClauseResult(
            rule_id=clause.rule_id,
            mode=mode,
            condition=clause.condition,
            decision=decision_of(clause.to_status),
            description=clause.reason,
            due=all(holds) and self._is_due(clause),
            tests=(
                *(self._test_result(*pair) for pair in zip(clause.predicates, holds, strict=True)),
                *([self._not_suppressed(clause.suppressed_by)] if clause.suppressed_by else []),
            ),
            evidence=evidence,
            evidence_total=total,
        )

    def _holds(self, filters: Sequence[Filter]) -> Iterator[bool]:
        """Whether the alert passes each filter, in a few round trips however many there are."""
        for start in range(0, len(filters), _TESTS_A_QUERY):
            part = filters[start : start + _TESTS_A_QUERY]
            facets = {f"t{n}": [{"$match": test}, {"$count": "n"}] for n, test in enumerate(part)}
            [answer] = self._alerts.aggregate([{"$match": self._one}, {"$facet": facets}])
            yield from (bool(answer[f"t{n}"]) for n in range(len(part)))

    def _is_due(self, clause: Clause) -> bool:
        scope, timestamp = self._scope(clause), self._alert.get("timestamp")
        if clause.in_one_pass and scope is not None and isinstance(timestamp, datetime):
            # The way that looks at no others than those in the scope.
            clause = clause.in_one_pass(timestamp)
        return any(True for _ in self._alerts.aggregate([*clause.pipeline(scope), {"$match": self._one}]))

    def _scope(self, clause: Clause) -> Filter | None:
        """What the clause has to read to find whether the alert is due: itself and what counts as its evidence."""
        timestamp = self._alert.get("timestamp")
        if clause.others:
            return self._one
        if clause.evidence is not None and isinstance(timestamp, DatetimeMS):
            # A date that Python has no word for, so no evidence can be asked for by it.
            return None
        if clause.evidence is None or not isinstance(timestamp, datetime):
            return self._one
        evidence = clause.evidence(timestamp)
        if clause.lookback is not None:
            # A key may have a hundred thousand alerts, of which a window holds a few.
            return {"$and": [self._same_key(clause), {"$or": [self._one, evidence]}]}
        # Where later or earlier alerts count, one of them settles it.
        found = self._alerts.find_one({"$and": [self._same_key(clause), evidence]}, {"_id": 1})
        return equal_to_any("_id", [self._alert["_id"], *([found["_id"]] if found else [])])

    def _evidence(self, clause: Clause) -> tuple[tuple[str, ...], int]:
        others = self._going_with(clause.others) if clause.others else self._counting(clause)
        if others is None:
            return (), 0
        found = self._alerts.find(others, {"alert_id": 1}).sort("timestamp", -1).limit(MAX_EVIDENCE)
        return tuple(str(doc.get("alert_id")) for doc in found), self._alerts.count_documents(others, limit=MAX_COUNTED)

    def _counting(self, clause: Clause) -> Filter | None:
        """The other alerts of its key that count, None where none can."""
        timestamp, keys = self._alert.get("timestamp"), (_value_at(self._alert, path) for path in clause.key)
        if clause.evidence is None or not isinstance(timestamp, datetime) or None in keys:
            return None
        return {"$and": [clause.evidence(timestamp), self._same_key(clause), {"_id": {"$ne": self._alert["_id"]}}]}

    def _going_with(self, others: OtherAlerts) -> Filter | None:
        """Those of `others` that go with the alert, None where none can."""
        timestamp, values = self._alert.get("timestamp"), [_value_at(self._alert, path) for path in others.ours]
        if not isinstance(timestamp, datetime) or any(value is None or isinstance(value, list) for value in values):
            return None
        equal = [{path: {"$eq": value}} for path, value in zip(others.theirs, values, strict=True)]
        return {"$and": [others.of(timestamp), *equal, {"_id": {"$ne": self._alert["_id"]}}]}

    def _not_suppressed(self, others: OtherAlerts) -> TestResult:
        asked = self._going_with(others)
        found = self._alerts.find_one(asked, {"alert_id": 1}) if asked else None
        values = {path: value for path in others.ours if (value := _value_at(self._alert, path)) is not None}
        values |= {"suppressed by": str(found.get("alert_id"))} if found else {}
        kinds = {path: kind_of(value) for path, value in values.items()}
        return TestResult(others.condition, f"no {others.words} exists", values, kinds, found is None)

    def _same_key(self, clause: Clause) -> Filter:
        same = {path: {"$eq": _value_at(self._alert, path)} for path in clause.key}
        return {"source_type": {"$eq": self._alert.get("source_type")}, **same}

    def _test_result(self, test: Predicate, holds: bool) -> TestResult:
        at = {path: _value_at(self._alert, path) for path in test.fields if path != "state_history"}
        values = {path: value for path, value in at.items() if value is not None}
        note = test.note(self._alert)
        description = f"{test.description}; {note}" if note else test.description
        return TestResult(
            test.name, description, values, {path: kind_of(value) for path, value in values.items()}, holds
        )


def _value_at(document: Any, path: str) -> Any:
    """The value at a dotted path, for showing; through arrays, the list of what the path reaches."""
    value = document
    for position, name in enumerate(path.split(".")):
        if isinstance(value, list):
            rest = ".".join(path.split(".")[position:])
            return [found for item in value if (found := _value_at(item, rest)) is not None]
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _why(decided_by: ClauseResult | None, active: Sequence[ClauseResult], unwritable: Mapping[str, Any] | None) -> str:
    if decided_by is None:
        if not active:
            return "no rule concerns it"
        return "not decided: " + "; ".join(f"{result.rule_id}: not so: {_missing(result)}" for result in active)
    why = f"rule {decided_by.rule_id!r} would {decided_by.decision} it: {decided_by.description}"
    if unwritable is not None:
        why += f"; but {why_unwritable(unwritable)}"
    beaten = [result.rule_id for result in active if result.due and result.rule_id != decided_by.rule_id]
    return f"{why}; it ranks before {', '.join(dict.fromkeys(beaten))}" if beaten else why


def _missing(result: ClauseResult) -> str:
    """The first test of the clause that does not hold, or all that it says where other alerts decide."""
    failed = [test.description for test in result.tests if not test.holds]
    return failed[0] if failed else result.description


def _hold(window: MaintenanceWindow, as_of: datetime) -> str:
    """Until when the window holds, and why."""
    span = window.span_at(as_of)
    until = f" until {_moment(span.end)}" if span else ""
    named = f"the maintenance window {window.window_id}" if window.window_id else "a maintenance window"
    return f"{named} exempts it{until}: {why_it_holds(window) or 'no reason given'}"


def _last_decision(past: Sequence[Mapping[str, Any]]) -> str:
    if not past:
        return ""
    entry = past[-1]
    done = _DONE.get(str(entry.get("to_status")), f"Set to {entry.get('to_status')}")
    rule = entry.get("rule_triggered")
    by = f" by rule {rule}" if rule else ""
    # A reason that a scan wrote begins with the rule.
    reason = str(entry.get("reason")).removeprefix(f"{rule}: ")
    return f"{done} {_moment(entry.get('timestamp'))}{by}: {reason_in_words(reason)}. "


def _moment(at: Any) -> str:
    return f"{at:%d %b %Y %H:%M} UTC" if isinstance(at, datetime) else repr(at)
