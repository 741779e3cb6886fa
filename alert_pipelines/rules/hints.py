"""Suggests a valid word for an unknown word in a rule, but never one with the opposite meaning.

People follow a hint without a second look, so a hint that reverses a rule is worse than none.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from alert_pipelines.spelling import close_matches

_SAID_ELSEWHERE: dict[str, Sequence[str]] = {
    meaning: words.split()
    for meaning, words in {
        "eq": "= == equals equal is",
        "ne": "!= <> not_eq noteq neq not_equal not_equals is_not",
        "lt": "< less_than less below",
        "lte": "<= =< le at_most less_or_equal",
        "gt": "> greater_than greater more_than above",
        "gte": ">= => ge at_least greater_or_equal",
        "in": "any_of one_of in_list",
        "not_in": "nin notin none_of",
        "missing": "null is_null isnull absent not_exists",
        "exists": "not_null notnull present has not_missing",
        "newer_than_mins": "younger_than_mins less_than_mins",
        "older_than_mins": "more_than_mins",
        "contains": "like regex regexp match matches",
        "all": "and && all_of every",
        "any": "or || any_of some",
        "not": "!",
        "field": "path key",
        "op": "operator operation",
        "value_of": "other_field compare_to",
        "ignore_case": "ignorecase case_insensitive",
        "plus": "add",
        "times": "multiply factor",
        "off": "inactive disabled paused",
        "active": "enabled on",
        "shadow": "dry_run test",
        "keep_first": "keep_oldest keep_earliest",
        "expire_after_mins": "close_after_mins auto_close_after_mins",
    }.items()
}
_NEGATIONS = ("no", "not", "non", "dont", "never", "without", "unless", "except", "exclude", "skip", "ignore")
_NEGATING_STARTS = ("un", "in", "dis", "de")
_OPPOSITES = (
    ({"older", "oldest", "earlier", "earliest", "before", "first"}, {"newer", "newest", "later", "latest", "after"}),
    ({"min", "least"}, {"max", "most"}),
    ({"all", "every"}, {"any", "some"}),
    ({"within"}, {"beyond"}),
    ({"sensitive"}, {"insensitive", "ignore"}),
)


def meant(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` may stand for, or None."""
    names = {name.lower(): name for name in known}
    words = {said: names[name] for name, others in _SAID_ELSEWHERE.items() if name in names for said in others} | names
    plain = re.sub(r"[\s-]+", "_", word.strip().lower())
    joined = {lower.replace("_", ""): name for lower, name in names.items()}
    if name := joined.get(plain.replace("_", "")):
        return name
    # Of a negated word most letters may be those of "not".
    close = close_matches(plain, names, n=5, cutoff=0.8 if is_negated(plain) else 0.6)
    close = [*close_matches(plain, words, n=5, cutoff=0.85), *close]
    return next((words[found] for found in close if not _turns_round(plain, found)), None)


def is_negated(word: str) -> bool:
    """Whether `word` says "not" in some way, misspelt or not."""
    return any(close_matches(part, _NEGATIONS, cutoff=0.85) for part in _parts(word))


def _turns_round(word: str, name: str) -> bool:
    if is_negated(word) != is_negated(name) or _negates(word, name) or _negates(name, word):
        return True
    mine, theirs = _parts(word), _parts(name)
    return any((mine & one and theirs & other) or (mine & other and theirs & one) for one, other in _OPPOSITES)


def _negates(word: str, name: str) -> bool:
    """Whether `word` is `name` behind un-, in-, dis- or de-, as "inactive" is."""
    return any(
        word.startswith(start)
        and not name.startswith(start)
        and SequenceMatcher(None, word.removeprefix(start), name).ratio() > SequenceMatcher(None, word, name).ratio()
        for start in _NEGATING_STARTS
    )


def _parts(word: str) -> set[str]:
    return set(re.split(r"[\W_]+", word.lower()))
