"""Describes a rule in one English sentence, for lists of rules, explanations and reports."""

from collections.abc import Iterable, Iterator

from alert_pipelines.alerts import PENDING
from alert_pipelines.rules.model import DEFAULT_WINDOW_MINS, EXPIRES_AT, Conditions, Rule
from alert_pipelines.rules.others import Other, When
from alert_pipelines.rules.tree_words import in_words, span_in_words


def sentences(rules: Iterable[Rule]) -> dict[str, str]:
    """Each of `rules`, and the alerts' own expiry, in one sentence, by rule id."""
    return {
        **{rule.rule_id: sentence(rule) for rule in rules},
        EXPIRES_AT: "Closes alerts of every source when their own expires_at has passed.",
    }


def sentence(rule: Rule) -> str:
    """The rule in one sentence, as "Closes SAFETY alerts when metadata.ended is true."."""
    conditions = rule.conditions
    which = _which(rule)
    parts = []
    if closes := list(_closes(conditions)):
        held = f", if not updated for {span_in_words(conditions.hold_mins)}" if conditions.hold_mins else ""
        parts.append(f"closes {which} when {_alternatives(closes)}{held}")
    if escalates := list(_escalations(conditions)):
        open_ones = "those that are OPEN" if parts else f"OPEN {which}"
        parts.append(f"escalates {open_ones} when {_alternatives(escalates)}")
    said = "; ".join([*parts, *_modifiers(rule)])
    return f"{said[0].upper()}{said[1:]}."


def _which(rule: Rule) -> str:
    conditions = rule.conditions
    words = []
    if conditions.closes and conditions.statuses and set(conditions.statuses) != set(PENDING):
        words.append(_listed(map(str, conditions.statuses)))
    if conditions.severities:
        words.append(_listed(map(str, conditions.severities)))
    words.append("alerts of every source" if rule.sources is None else f"{_listed(rule.sources)} alerts")
    return " ".join(words)


def _closes(conditions: Conditions) -> Iterator[str]:
    key = _key(conditions)
    if conditions.auto_close_if:
        yield f"metadata.{conditions.auto_close_if} is true"
    if conditions.close_if:
        yield in_words(conditions.close_if)
    if conditions.expire_after_mins:
        yield f"they are {span_in_words(conditions.expire_after_mins)} old"
    if conditions.close_if_no_repeat_mins:
        yield f"none {key} was raised for {span_in_words(conditions.close_if_no_repeat_mins)}"
    if conditions.keep_latest:
        yield f"a newer one {key} exists"
    if conditions.keep_first:
        yield f"an older pending one {key} exists"
    if conditions.close_if_other:
        yield f"{_other(conditions, conditions.close_if_other, later=True)} exists"


def _escalations(conditions: Conditions) -> Iterator[str]:
    if conditions.escalate_if:
        yield in_words(conditions.escalate_if)
    if conditions.escalate_after_mins:
        yield f"nobody attended to them for {span_in_words(conditions.escalate_after_mins)}"
    if conditions.escalate_if_count:
        window = span_in_words(conditions.window_mins or DEFAULT_WINDOW_MINS)
        yield f"there are {conditions.escalate_if_count} {_counted(conditions)} {_key(conditions)} within {window}"


def _counted(conditions: Conditions) -> str:
    statuses = conditions.count_statuses
    words = "pending ones" if statuses is None else f"{_listed(map(str, statuses))} ones"
    if conditions.count_distinct:
        words = f"different {conditions.count_distinct} among {words}"
    return f"{words} for which {in_words(conditions.count_if)}," if conditions.count_if else words


def _modifiers(rule: Rule) -> Iterator[str]:
    conditions = rule.conditions
    if conditions.only_if:
        yield f"only if {in_words(conditions.only_if)}"
    if rule.calendar:
        yield f"counting only the open minutes of the calendar {rule.calendar!r}"
    if rule.only_during:
        yield f"only while the calendar {rule.only_during!r} is open"
    if conditions.suppress_if_other:
        yield f"not while {_other(conditions, conditions.suppress_if_other, later=False)} exists"
    for verb, most, fraction in (
        ("closing", conditions.max_close, conditions.max_close_fraction),
        ("escalating", conditions.max_escalate, conditions.max_escalate_fraction),
    ):
        limits = ([] if most is None else [str(most)]) + ([] if fraction is None else [f"{fraction:.0%} of the alerts"])
        if limits:
            yield f"{verb} at most {' and '.join(limits)} in a scan"
    if conditions.notify:
        yield "and people are told"


def _key(conditions: Conditions) -> str:
    but = f" (other than {_listed(map(repr, conditions.ignore_keys))})" if conditions.ignore_keys else ""
    return f"with the same {_listed(conditions.key, 'and')}{but}"


def _other(conditions: Conditions, other: Other, *, later: bool) -> str:
    match = other.match or {path: path for path in conditions.key}
    same = [path for path, ours in match.items() if path == ours]
    equal = [f"{path} equal to their {ours}" for path, ours in match.items() if path != ours]
    sources = "alert of any source" if other.sources is None else f"alert of {_listed(other.sources)}"
    when = "later " if other.when is When.LATER or (other.when is None and later) else ""
    status = f"{_listed(map(str, other.statuses))} " if other.statuses else ""
    where = f", for which {in_words(other.if_)}," if other.if_ else ""
    goes_with = " and ".join([*([f"the same {_listed(same, 'and')}"] if same else []), *equal])
    words = f"{when}{status}{sources} with {goes_with}{where}"
    return f"{'an' if words[0] in 'aeiouAEIOU' else 'a'} {words}"


def _alternatives(conditions: list[str]) -> str:
    return conditions[0] if len(conditions) == 1 else f"{', '.join(conditions[:-1])}, or {conditions[-1]}"


def _listed(names: Iterable[str], word: str = "or") -> str:
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last
