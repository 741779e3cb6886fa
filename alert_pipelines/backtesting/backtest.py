"""Back-testing a rule set: what it would have decided on past days, beside today's rules and what really happened.

The same compiled clauses as a scan's, run over the alerts as they stood; see docs/backtest.md for what is knowable.
Nothing is fed forward: at each time the alerts stand as they really did, whatever the rules would have done before;
only what real scans decided since the time before is taken as still open.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

import bson
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from alert_pipelines.alerts import Status, alert_key
from alert_pipelines.backtesting.outcomes import ActualActivity, AlertOutcome, actual_activity, outcomes_after
from alert_pipelines.backtesting.snapshot import alert_snapshot, sources_with_unknown_severity
from alert_pipelines.errors import BacktestError
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.rules.calendar_store import checked_calendars
from alert_pipelines.rules.clause import Clause
from alert_pipelines.rules.compiler import compile_rule, compile_rules
from alert_pipelines.rules.key_indexes import KeyIndexes
from alert_pipelines.rules.model import EXPIRES_AT, Mode, Rule, RuleSet
from alert_pipelines.rules.sentences import sentences
from alert_pipelines.rules.store import load_rules, load_windows
from alert_pipelines.rules.window_compiler import WindowsAt
from alert_pipelines.scanner.readings import Readings
from alert_pipelines.timestamps import as_of_utc

DAY = timedelta(days=1)
DEFAULT_STEP = timedelta(hours=6)
MAX_CLAUSE_SECONDS = 60


@dataclass(frozen=True)
class RuleOutcome:
    """What one rule would have decided on one day, and what really happened to these alerts.

    `false_closes` were later escalated (`escalated_later`) or resolved by a person with notes (`resolved_with_work`).
    The others: `closed_later` and, part of it, `auto_closed_later` are those really closed or resolved later, the
    hours are by how much; `never_closed` are pending still. `reopened_later` counts among all. `really_escalated` is
    the part of `would_escalate` that was escalated after that time. `closes_shared` and `escalates_shared` are what
    the other rule set, today's or the proposed, would have decided alike in that day. `known_as_of_now` are the fields
    that the rule looks at and of which no history tells what they held that day, so that it was judged by what they
    hold now. `what_it_does` is the rule in a sentence.
    """

    rule_id: str
    mode: Mode
    would_close: int = 0
    would_escalate: int = 0
    false_closes: int = 0
    escalated_later: int = 0
    resolved_with_work: int = 0
    reopened_later: int = 0
    closed_later: int = 0
    auto_closed_later: int = 0
    never_closed: int = 0
    hours_earlier_total: float = 0.0
    hours_earlier_median: float | None = None
    really_escalated: int = 0
    closes_shared: int = 0
    escalates_shared: int = 0
    known_as_of_now: tuple[str, ...] = ()
    what_it_does: str = ""


@dataclass(frozen=True)
class DayOutcome:
    """One day, [00:00, 24:00) UTC: both rule sets, rule by rule in precedence order, and what really happened.

    Shadow rules of the tested set come last, each counted as if it were the only rule. `bad_rules` lists the active
    rules that are not valid.
    """

    day: date
    step: timedelta
    proposed_version: str
    proposed: tuple[RuleOutcome, ...]
    today_version: str
    today: tuple[RuleOutcome, ...]
    really: ActualActivity
    bad_rules: tuple[str, ...]
    seconds: float


@at_the_door
def backtest(
    db: AlertDatabase, rules: Iterable[Rule], days: Iterable[date], *, step: timedelta = DEFAULT_STEP
) -> Iterator[DayOutcome]:
    """Back-test rules on past days.

    Args:
        db: The database of the alerts.
        rules: The rules to test; the published ones are evaluated next to them.
        days: The days, in UTC. Each day must have ended.
        step: The time between two simulated scans; it must divide the day.

    Yields:
        For each day, what the rules would have decided and what really happened.

    Raises:
        AlertPipelinesError: Two of the rules have one rule_id, or a calendar of theirs cannot be used.
        BacktestError: A day has not ended, the step does not divide the day, or the server cannot evaluate a rule. A
            wrong day or step is reported before any day is computed.
        InvalidTimestampError: A day is before the year 1000.

    Example:
        >>> from pathlib import Path
        >>> from alert_pipelines.rules.files import read_rules
        >>> for outcome in backtest(db, read_rules(Path("rules.yaml")), [date(2025, 1, 15)]):
        ...     print(outcome.day, sum(one.would_close for one in outcome.proposed))
        2025-01-15 0
    """
    proposed, asked = list(rules), list(days)
    for day in asked:
        _times(db, day, step)
    for day in asked:
        yield backtest_day(db, proposed, day, step=step)


@at_the_door
def backtest_day(
    db: AlertDatabase,
    rules: Iterable[Rule],
    day: date,
    *,
    step: timedelta = DEFAULT_STEP,
    check: Callable[[], None] = lambda: None,
) -> DayOutcome:
    """What `rules` and the active rules would have decided on `day` (UTC), and what really happened.

    Counted is what is due at one of the times 00:00 + step, + 2 steps, … 24:00 and was not due at 00:00, each alert
    at most once a decision. `check` is called before every query and may raise to stop. Raises BacktestError for a
    day that is not over, a step that does not divide the day, and a rule that the server cannot evaluate, and
    InvalidTimestampError for a day before the year 1000.
    """
    started = time.perf_counter()
    start, *_ = times = _times(db, day, step)
    loaded = load_rules(db)
    proposed, today = _Side(RuleSet.of(list(checked_calendars(db, rules)))), _Side(loaded.rule_set._replace(shadow=()))
    with alert_snapshot(db, [*proposed.rules, *today.rules], [start - step, *times]) as rebuilt:
        alerts = rebuilt.collection
        for at in times:
            check()
            if at > start:
                rebuilt.move_to(at)
            windows = WindowsAt(load_windows(db, at).windows, at)
            evaluate = _Evaluator(alerts, at, windows, check, Readings(alerts, KeyIndexes(alerts)))
            for group in (*proposed.groups, *today.groups):
                group.decide(evaluate)
    for group in (*proposed.groups, *today.groups):
        group.forget(start)
    outcomes = _find_outcomes(db, [proposed, today], step, check)
    unrecorded = sources_with_unknown_severity(db, start)
    return DayOutcome(
        day=day,
        step=step,
        proposed_version=proposed.version,
        proposed=tuple(proposed.outcomes(outcomes, today, unrecorded)),
        today_version=today.version,
        today=tuple(today.outcomes(outcomes, proposed, unrecorded)),
        really=actual_activity(db, start, times[-1]),
        bad_rules=tuple(str(error) for error in loaded.errors),
        seconds=time.perf_counter() - started,
    )


def _times(db: AlertDatabase, day: date, step: timedelta) -> list[datetime]:
    start = as_of_utc(datetime.combine(day, time_of_day(), UTC))
    if step <= timedelta() or DAY % step:
        raise BacktestError(f"step {step}: the day has to be a multiple of it, such as 2 hours or 30 minutes")
    now = server_now(db)
    if start > now - DAY:
        what = "lies in the future" if start > now else "is not over"
        raise BacktestError(
            f"{start:%Y-%m-%d} {what} (the server's clock says {now:%Y-%m-%d %H:%M} UTC): back-test days up to "
            f"{now - DAY:%Y-%m-%d}"
        )
    return [start + n * step for n in range(DAY // step + 1)]


_Due = dict[bytes, tuple[str, datetime]]
"""The rule that decided an alert first, and when, by the alert's key."""


@dataclass
class _Evaluator:
    """Finds what is due at one time; a clause that both rule sets hold is run once."""

    alerts: Collection[AlertDocument]
    as_of: datetime
    windows: WindowsAt
    check: Callable[[], None]
    readings: Readings
    answers: dict[bytes, list[bytes]] = field(default_factory=dict)

    def due(self, clause: Clause) -> list[bytes]:
        """The keys of the alerts that `clause` decides and a scan could write."""
        [query] = self.readings.within(clause)
        pipeline = query.pipeline
        question = bson.encode({"pipeline": pipeline})
        if question not in self.answers:
            self.check()
            try:
                with self.alerts.aggregate(
                    pipeline, allowDiskUse=True, maxTimeMS=MAX_CLAUSE_SECONDS * 1000, batchSize=10_000
                ) as rows:
                    found = [alert_key(row["_id"]) for row in rows if "unwritable" not in row]
            except OperationFailure as failure:
                raise BacktestError(
                    f"rule {clause.rule_id!r}: the server could not evaluate {clause.condition} at "
                    f"{self.as_of.isoformat()}: {reason_of(failure)}. Leave the rule out, or simplify it"
                ) from failure
            self.answers[question] = found
        return self.answers[question]


class _Decided:
    """What rules that take precedence over each other decide, each alert's first close and first escalation."""

    def __init__(self, rules: Sequence[Rule], mode: Mode) -> None:
        self.rules = rules
        self.mode = mode
        self.closes: _Due = {}
        self.escalations: _Due = {}

    def decide(self, evaluate: _Evaluator) -> None:
        """Take in what is due at the next time."""
        is_active, rebuilt = self.mode is Mode.ACTIVE, evaluate.alerts.name
        as_of, windows = evaluate.as_of, evaluate.windows
        for clause in compile_rules(self.rules, as_of, windows, with_expires_at=is_active, collection=rebuilt):
            due = self.closes if clause.to_status is Status.AUTO_CLOSED else self.escalations
            for key in evaluate.due(clause):
                # Clauses come in precedence order, closes first: what is closed is not escalated any more.
                if key not in self.closes:
                    due.setdefault(key, (clause.rule_id, as_of))

    def forget(self, as_of: datetime) -> None:
        """Leave out what was due at `as_of`: it became due before."""
        for due in (self.closes, self.escalations):
            for key in [key for key, (_, at) in due.items() if at == as_of]:
                del due[key]

    def rule_ids(self) -> list[str]:
        """The rules, and the alerts' own expiry where it plays a part."""
        return [*(rule.rule_id for rule in self.rules), *([EXPIRES_AT] if self.mode is Mode.ACTIVE else [])]


class _Side:
    """One rule set: its active rules together, each shadow rule by itself."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.rules = rule_set.rules
        self.version = rule_set.version
        self.active = _Decided(rule_set.active, Mode.ACTIVE)
        self.groups = [self.active, *(_Decided([rule], Mode.SHADOW) for rule in rule_set.shadow)]

    def outcomes(self, outcomes: "_Outcomes", other: "_Side", unrecorded: Set[str]) -> Iterator[RuleOutcome]:
        """Rule by rule; what counts as shared is what the active rules of `other` decide.

        `unrecorded` are the sources of alerts whose severity of then is not known.
        """
        says = sentences(self.rules)
        for group in self.groups:
            for rule_id in group.rule_ids():
                closed, escalated = (
                    {key: at for key, (by, at) in due.items() if by == rule_id}
                    for due in (group.closes, group.escalations)
                )
                yield RuleOutcome(
                    rule_id,
                    group.mode,
                    would_escalate=len(escalated),
                    really_escalated=sum(outcome.escalated for _, outcome in _known_outcomes(escalated, outcomes)),
                    closes_shared=len(closed.keys() & other.active.closes.keys()),
                    escalates_shared=len(escalated.keys() & other.active.escalations.keys()),
                    would_close=len(closed),
                    known_as_of_now=_known_as_of_now(group.rules, rule_id, unrecorded),
                    what_it_does=says[rule_id],
                    **_what_became(list(_known_outcomes(closed, outcomes))),
                )


_IN_HISTORY = frozenset({"alert_id", "source_type", "status", "severity", "timestamp", "created_at", "state_history"})


def _known_as_of_now(rules: Sequence[Rule], rule_id: str, unrecorded: Set[str]) -> tuple[str, ...]:
    """What the rule, or the alerts' own expiry, looks at beyond what never changes and what histories tell."""
    if rule_id == EXPIRES_AT:
        return (EXPIRES_AT,)
    any_timestamp = datetime(2000, 1, 1, tzinfo=UTC)
    [rule] = [rule for rule in rules if rule.rule_id == rule_id]
    clauses = compile_rule(rule, any_timestamp)
    looked_at = {field for clause in clauses for test in clause.predicates for field in (*test.fields, *clause.key)}
    others = (other for clause in clauses for other in clause.all_others)
    looked_at |= {field for other in others for field in (*other.fields, *other.theirs)}
    lacks_severity = unrecorded & (unrecorded if rule.sources is None else set(rule.sources))
    recorded = _IN_HISTORY - {"severity"} if lacks_severity else _IN_HISTORY
    return tuple(sorted(field for field in looked_at if field not in recorded))


_Outcomes = Mapping[tuple[bytes, datetime], AlertOutcome]


def _find_outcomes(db: AlertDatabase, sides: Iterable[_Side], step: timedelta, check: Callable[[], None]) -> _Outcomes:
    """What became of every alert decided, after the time it was decided at."""
    wanted: dict[datetime, set[bytes]] = {}
    for group in (group for side in sides for group in side.groups):
        for due in (group.closes, group.escalations):
            for key, (_, at) in due.items():
                wanted.setdefault(at, set()).add(key)
    outcomes = {}
    for at, keys in wanted.items():
        check()
        outcomes.update({(key, at): outcome for key, outcome in outcomes_after(db, keys, at, at - step)})
    return outcomes


def _known_outcomes(decided: Mapping[bytes, datetime], outcomes: _Outcomes) -> Iterator[tuple[datetime, AlertOutcome]]:
    # An alert may be deleted while the back-test is at work.
    return ((at, outcomes[key, at]) for key, at in decided.items() if (key, at) in outcomes)


def _what_became(closed: Sequence[tuple[datetime, AlertOutcome]]) -> dict[str, Any]:
    """The fields of RuleOutcome about the alerts that would have been closed."""
    rest = [(at, outcome) for at, outcome in closed if not (outcome.escalated or outcome.worked)]
    hours = [max(0.0, (outcome.ended_at - at) / timedelta(hours=1)) for at, outcome in rest if outcome.ended_at]
    return {
        "false_closes": len(closed) - len(rest),
        "escalated_later": sum(outcome.escalated for _, outcome in closed),
        "resolved_with_work": sum(outcome.worked for _, outcome in closed),
        "reopened_later": sum(outcome.reopened for _, outcome in closed),
        "closed_later": sum(outcome.ended for _, outcome in rest),
        "auto_closed_later": sum(outcome.auto_closed for _, outcome in rest),
        "never_closed": sum(not outcome.ended for _, outcome in rest),
        "hours_earlier_total": sum(hours),
        "hours_earlier_median": statistics.median(hours) if hours else None,
    }
