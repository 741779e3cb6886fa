"""Forecasts the decisions of the coming hours, from a plan for each hour."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from alert_pipelines.alerts.decision_counts import Decision, decision_of
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.store import load_rules, load_windows
from alert_pipelines.scanner.limits import find_violations
from alert_pipelines.scanner.plan import Plan, hashable, make_plan, plan_decisions
from alert_pipelines.scanner.preview import preview_of
from alert_pipelines.scanner.result import LimitViolation, ScanRequest
from alert_pipelines.timestamps import as_of_utc

HOURS = 24
MAX_HOURS = 168
_STEP = timedelta(hours=1)
_NAMED = 3


class Forthcoming(NamedTuple):
    """Alerts of one source that one rule will decide: those due at `at` and not a step before."""

    at: datetime
    rule_id: str
    source_type: str
    decision: Decision
    alerts: int


class DueByRule(NamedTuple):
    """The number of alerts that one rule will decide, and when the first is due."""

    rule_id: str
    decision: Decision
    alerts: int
    first: datetime


class DueByHour(NamedTuple):
    """How many alerts will be due at `at` and not a step before, in all and by rule, the most first."""

    at: datetime
    close: int
    escalate: int
    rules: Sequence[tuple[str, int]]

    @property
    def rules_in_short(self) -> str:
        """The rules that decide the most, and how many there are besides."""
        named = [f"{rule_id} {alerts}" for rule_id, alerts in self.rules[:_NAMED]]
        more = [f"{len(self.rules) - _NAMED} more"] if len(self.rules) > _NAMED else []
        return ", ".join([*named, *more])


@dataclass(frozen=True)
class Forecast:
    """What a scan at `as_of` and one at the end of each of the next `hours` would decide, if no alert changes and no
    new one comes.

    An alert is counted at most once as closed and once, before that, as escalated. `blocked` are the limits that the
    scan at `as_of` exceeds: while they hold, what they block stays due. `errors` are about rules and windows.
    """

    as_of: datetime
    hours: int
    due: tuple[Forthcoming, ...]
    blocked: tuple[LimitViolation, ...]
    errors: tuple[str, ...]

    def count(self, decision: Decision) -> int:
        """How many alerts will get that decision."""
        return sum(one.alerts for one in self.due if one.decision == decision)

    def by_rule(self) -> list[DueByRule]:
        """What each rule will decide, the most first."""
        alerts: Counter[tuple[str, Decision]] = Counter()
        first: dict[tuple[str, Decision], datetime] = {}
        for one in self.due:
            alerts[one.rule_id, one.decision] += one.alerts
            first.setdefault((one.rule_id, one.decision), one.at)
        return [DueByRule(*which, number, first[which]) for which, number in alerts.most_common()]

    def by_hour(self) -> list[DueByHour]:
        """What will be due, hour by hour; hours in which nothing is are left out."""
        hours = []
        for at in dict.fromkeys(one.at for one in self.due):
            totals, rules = Counter[Decision](), Counter[str]()
            for one in self.due:
                if one.at == at:
                    totals[one.decision] += one.alerts
                    rules[one.rule_id] += one.alerts
            hours.append(DueByHour(at, totals["close"], totals["escalate"], rules.most_common()))
        return hours


@at_the_door
def forecast(db: AlertDatabase, *, as_of: datetime | None = None, hours: int = HOURS) -> Forecast:
    """Foretell what the active rules will decide, from `as_of` (None: the server's clock) for `hours`.

    Writes nothing. Raises InvalidTimestampError, PyMongoError.
    """
    start = server_now(db) if as_of is None else as_of_utc(as_of)
    as_of_utc(start + hours * _STEP)
    loaded = load_rules(db)
    rule_set = loaded.rule_set._replace(shadow=())
    due: list[Forthcoming] = []
    errors = list(map(str, loaded.errors))
    blocked: tuple[LimitViolation, ...] = ()
    decided: dict[Decision, set[Hashable]] = {"close": set(), "escalate": set()}
    for done in range(hours + 1):
        at = start + done * _STEP
        windows = load_windows(db, at)
        if done == 0:
            plan = make_plan(db, rule_set, windows.windows, at)
            blocked = find_violations(db, plan, rule_set, ScanRequest(dry_run=True))
        else:
            plan = plan_decisions(db, rule_set, windows.windows, at)
        errors += [*windows.errors, *plan.failed_rules]
        _leave_new(plan, decided)
        due += _counted(db, plan, at)
    return Forecast(start, hours, tuple(due), blocked, tuple(dict.fromkeys(errors)))


def _leave_new(plan: Plan, decided: dict[Decision, set[Hashable]]) -> None:
    """Leave in `plan` only what no earlier hour has decided: closed is closed, and escalated is escalated once."""
    for planned in plan.clauses:
        earlier = decided[decision_of(planned.clause.to_status)]
        names = ((_id, hashable(_id)) for _id in planned.ids)
        new = {name: _id for _id, name in names if name not in decided["close"] and name not in earlier}
        planned.ids = list(new.values())
        earlier.update(new)


def _counted(db: AlertDatabase, plan: Plan, at: datetime) -> Iterator[Forthcoming]:
    alerts: Counter[tuple[str, str, Decision]] = Counter()
    for group in preview_of(db, plan):
        alerts[group.rule_id, group.source_type, group.decision] += group.alerts
    for (rule_id, source_type, decision), number in alerts.most_common():
        yield Forthcoming(at, rule_id, source_type, decision, number)
