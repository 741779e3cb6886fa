"""Warns of valid rules that are probably wrong: conditions that cancel each other or never hold, missing calendars."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product

from alert_pipelines.rules.model import Mode, Rule
from alert_pipelines.rules.tree import All, Leaf, Op, Tree
from alert_pipelines.rules.tree_words import describe, span_in_words
from alert_pipelines.spelling import nearest

_NARROWING = ("only_if", "severities", "statuses", "hold_mins", "suppress_if_other")
_GROUPING = (
    *("escalate_if_count", "keep_latest", "keep_first", "close_if_no_repeat_mins"),
    *("close_if_other", "suppress_if_other"),
)
_OPPOSITES = ({Op.EQ, Op.NE}, {Op.IN, Op.NOT_IN}, {Op.EXISTS, Op.MISSING})
_FLOORS, _CEILINGS = {Op.GT, Op.GTE}, {Op.LT, Op.LTE}


def warnings_of(rules: Iterable[Rule]) -> list[str]:
    """What is valid and hardly meant: calendars that are not in the file, and all that `lint` finds."""
    given = list(rules)
    known = {calendar.name for rule in given for calendar in rule.calendars or ()}
    missing = [_not_brought(rule, name, known) for rule in given for name in rule.calendar_names if name not in known]
    return [*missing, *lint(given)]


def lint(rules: Iterable[Rule]) -> list[str]:
    """What the active and shadow rules of a file say that is surely not meant."""
    considered = [rule for rule in rules if rule.effective_mode is not Mode.OFF]
    found = [warning for rule in considered for warning in _of_one(rule)]
    active = [rule for rule in considered if rule.effective_mode is Mode.ACTIVE]
    return found + [text for closing in active for other in active for text in _leaves_nothing(closing, other)]


def _not_brought(rule: Rule, name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    meant = f"; did you mean {near!r}?" if near else "."
    return (
        f"rule {rule.rule_id!r}: the calendar {name!r} is not in the file{meant} The rule decides nothing "
        "unless the collection calendars has a calendar of this name"
    )


def _of_one(rule: Rule) -> Iterator[str]:
    conditions = rule.conditions
    who = f"rule {rule.rule_id!r}"
    if not any(getattr(conditions, name) for name in _GROUPING):
        for name in ("group_by", "ignore_keys"):
            if getattr(conditions, name):
                yield f"{who}: {name} has no effect, since no condition of the rule looks at other alerts"
    for name, tree in conditions.trees.items():
        beside = [conditions.only_if] if conditions.only_if and name != "only_if" else []
        for one, another in _contradictions([*beside, tree]):
            yield (
                f"{who}: {name}: {describe(one)}, and {describe(another)}: both never hold, except for an array or "
                "several values. Take one of the two out, or write them as 'any'"
            )


def _contradictions(trees: Sequence[Tree]) -> Iterator[tuple[Leaf, Leaf]]:
    """The pairs of leaves that must hold at once and never do, of one value; of two trees, only those across them."""
    groups = [list(_at_once(tree)) for tree in trees]
    pairs = product(*groups) if len(groups) > 1 else combinations(groups[0], 2)
    return ((one, another) for one, another in pairs if _contradict(one, another))


def _at_once(tree: Tree) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    elif isinstance(tree, All):
        for part in tree.all:
            yield from _at_once(part)


def _contradict(one: Leaf, another: Leaf) -> bool:
    if one.field != another.field or one.value_of or another.value_of:
        return False
    if {one.op, another.op} in _OPPOSITES:
        return one.value == another.value and type(one.value) is type(another.value)
    if one.op is another.op is Op.EQ:
        return one.value != another.value
    floor, ceiling = (one, another) if one.op in _FLOORS else (another, one)
    if floor.op not in _FLOORS or ceiling.op not in _CEILINGS:
        return False
    if not isinstance(floor.value, int | float) or not isinstance(ceiling.value, int | float):
        return False
    strict = {floor.op, ceiling.op} != {Op.GTE, Op.LTE}
    return floor.value > ceiling.value or (strict and floor.value == ceiling.value)


def _leaves_nothing(closing: Rule, escalating: Rule) -> Iterator[str]:
    """Closes come first: what both decide is never escalated."""
    closes, escalates = closing.conditions, escalating.conditions
    who = "the same rule" if closing is escalating else f"rule {closing.rule_id!r}"
    whose = f"rule {escalating.rule_id!r}"
    then = f"so {escalating.source_names} alerts are almost never escalated"
    if closes.keep_latest and (escalates.escalate_if_count or 1) > 1 and closing.shares_source(escalating):
        yield (
            f"{whose}: escalate_if_count counts pending alerts, and keep_latest of {who} closes all but the newest of "
            f"a key, {then}. Remove one of the two conditions"
        )
    covers = closing.sources is None or set(escalating.sources or [""]) <= set(closing.sources)
    if not covers or any(getattr(closes, name) for name in _NARROWING):
        return
    if closing.calendar or closing.only_during or escalating.calendar:
        return
    then += ". Let the rule that closes wait longer"
    if closes.expire_after_mins and escalates.escalate_after_mins:
        first, second = closes.expire_after_mins, escalates.escalate_after_mins
        if first <= second:
            yield (
                f"{whose}: escalate_after_mins waits {span_in_words(second)}, and expire_after_mins of {who} closes "
                f"after {span_in_words(first)}, {then}"
            )
    if closes.close_if and closes.close_if == escalates.escalate_if:
        yield f"{whose}: escalate_if says what close_if of {who} says, and closes come first, {then}"
