"""The collection `calendars`, and the lookup of the calendars of rules."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alert_pipelines.errors import AlertPipelinesError, RuleError
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.calendars import Calendar
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.validation import each_once, parse_calendar
from alert_pipelines.spelling import nearest

CALENDARS = "calendars"


class LoadedCalendars(NamedTuple):
    """The usable calendars of the collection by name, and by name what is wrong with the others."""

    usable: dict[str, Calendar]
    problems: dict[str, str]


class RulesWithCalendars(NamedTuple):
    """Rules with all calendars that they go by, and what is wrong with those that go by one that cannot be used."""

    rules: list[Rule]
    errors: list[RuleError]


@at_the_door
def load_calendars(db: AlertDatabase) -> LoadedCalendars:
    """Read every calendar; one that is not valid, and all that share a name, are named instead."""
    usable: dict[str, Calendar] = {}
    problems: dict[str, str] = {}
    times: Counter[str] = Counter()
    for document in db[CALENDARS].find({}, {"_id": 0}):
        name = str(document.get("name"))
        times[name] += 1
        try:
            usable[name] = parse_calendar(document)
        except AlertPipelinesError as error:
            problems[name] = str(error)
    for name in [name for name, count in times.items() if count > 1]:
        problems[name] = f"calendar {name!r} is not valid: {times[name]} documents have this name: keep one"
    return LoadedCalendars({name: one for name, one in usable.items() if name not in problems}, problems)


@at_the_door
def with_calendars(db: AlertDatabase, rules: Iterable[Rule]) -> RulesWithCalendars:
    """`rules` with the calendars of the collection that they go by; a rule's own calendars come first.

    A rule whose calendar does not exist, or is not valid, is left out and named.
    """
    given = list(rules)
    missing = any(not rule.calendar_of(name) for rule in given for name in rule.calendar_names)
    stored = load_calendars(db) if missing else LoadedCalendars({}, {})
    found = RulesWithCalendars([], [])
    for rule in given:
        complete = rule.with_calendars(stored.usable.values())
        problems = [_problem(complete, name, stored) for name in rule.calendar_names if not complete.calendar_of(name)]
        if problems:
            found.errors.append(RuleError(rule.rule_id, problems))
        else:
            found.rules.append(complete)
    return found


@at_the_door
def checked_calendars(db: AlertDatabase, rules: Iterable[Rule]) -> Sequence[Rule]:
    """`rules` with their calendars.

    Raises AlertPipelinesError, which names each rule whose calendar cannot be used, or that is given twice.
    """
    found = with_calendars(db, each_once(rules))
    if found.errors:
        raise AlertPipelinesError("\n  ".join(["the rules cannot be used:", *map(str, found.errors)]))
    return found.rules


def _problem(rule: Rule, name: str, stored: LoadedCalendars) -> str:
    field = "calendar" if rule.calendar == name else "only_during"
    if name in stored.problems:
        return f"{field}: {stored.problems[name]}"
    near = nearest(name, [*stored.usable, *(calendar.name for calendar in rule.calendars or ())])
    meant = f"; did you mean {near!r}?" if near else ""
    return f"{field}: expected a calendar of the file or of the collection {CALENDARS}; got {name!r:.100}{meant}"
