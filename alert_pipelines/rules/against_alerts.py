"""Warns of rules that the stored alerts cannot meet: sources, fields and kinds of values that do not exist."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.alerts.filters import of_sources
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.field_kinds import alike_in_kinds, kind_faults
from alert_pipelines.rules.model import Mode, Rule
from alert_pipelines.rules.sources import EVERY_SOURCE
from alert_pipelines.rules.tree import leaves
from alert_pipelines.spelling import nearest

_BY_KEY = ("escalate_if_count", "close_if_no_repeat_mins", "keep_latest", "keep_first")
_MAX_NAMES_READ = 1_000
_DEEPEST = 3

Sources = tuple[str, ...] | None


class _Named(NamedTuple):
    """A field that a condition of a rule names, and the sources whose alerts should have it."""

    rule_id: str
    condition: str
    path: str
    sources: Sources


@at_the_door
def warnings_against_alerts(db: AlertDatabase, rules: Sequence[Rule]) -> list[str]:
    """What the alerts of `db` cannot meet of `rules`; those that are off are left out."""
    considered = [rule for rule in rules if rule.effective_mode is not Mode.OFF]
    return [*_unsent_sources(db, considered), *_unseen_fields(db, considered), *map(str, kind_faults(db, considered))]


def _unsent_sources(db: AlertDatabase, rules: Iterable[Rule]) -> Iterator[str]:
    """The sources that rules name but no alert has, each with the most similar source that an alert has."""
    sent = [source for source in db[COLLECTION].distinct("source_type") if isinstance(source, str)]
    for rule in rules:
        named = [("source_type", source) for source in rule.sources or ()]
        for name, other in rule.conditions.others_by_condition.items():
            named += [(f"{name}.source_type", source) for source in other.sources or ()]
        for path, source in named:
            if source not in sent:
                hint = _hint(source, sent)
                yield f"rule {rule.rule_id!r}: {path}: no alert has the source {source!r}{hint}"


def _unseen_fields(db: AlertDatabase, rules: Iterable[Rule]) -> Iterator[str]:
    """The fields that rules name and that no alert of their sources has, with the nearest one that there is."""
    by_sources: dict[Sources, list[_Named]] = {}
    for rule in rules:
        for named in dict.fromkeys(_named_by(rule)):
            by_sources.setdefault(named.sources, []).append(named)
    for sources, fields in by_sources.items():
        unseen = _without_value(db, sources, list(dict.fromkeys(named.path for named in fields)))
        known = _field_names(db, sources) if unseen else []
        whose = ", ".join(sources or (EVERY_SOURCE,))
        for named in fields:
            if named.path in unseen:
                yield (
                    f"rule {named.rule_id!r}: {named.condition}: no alert of {whose} has a value at "
                    f"{named.path!r}{_hint_at_path(named.path, known)}"
                )


def _hint(given: str, known: Sequence[str]) -> str:
    near = nearest(given, known)
    return f". Did you mean {near!r}" if near else ""


def _hint_at_path(given: str, known: Iterable[str]) -> str:
    # By the last name: two paths are much alike because both begin with "metadata".
    above, dot, name = given.rpartition(".")
    beside = [path.removeprefix(above + dot) for path in known if path.rpartition(".")[0] == above]
    near = nearest(name, beside)
    return f". Did you mean {above + dot + near!r}" if near else ""


def _named_by(rule: Rule) -> Iterator[_Named]:
    conditions = rule.conditions

    def of_ours(condition: str, paths: Iterable[str]) -> Iterator[_Named]:
        return (_Named(rule.rule_id, condition, path, rule.sources) for path in paths)

    if conditions.auto_close_if:
        yield from of_ours("auto_close_if", [f"metadata.{conditions.auto_close_if}"])
    for name, tree in conditions.trees.items():
        yield from of_ours(name, (path for leaf in leaves(tree) for path in leaf.fields))
    if any(getattr(conditions, name) for name in _BY_KEY) or any(other.match is None for other in conditions.others):
        yield from of_ours("group_by", conditions.key)
    yield from of_ours("count_distinct", [conditions.count_distinct] if conditions.count_distinct else [])
    for name, other in conditions.others_by_condition.items():
        match = other.match or {path: path for path in conditions.key}
        yield from of_ours(name, (other.match or {}).values())
        tested = (path for leaf in leaves(other.if_) for path in leaf.fields) if other.if_ else ()
        yield from (_Named(rule.rule_id, name, path, other.sources) for path in (*match, *tested))


def _without_value(db: AlertDatabase, sources: Sources, paths: Sequence[str]) -> set[str]:
    """Those of `paths` that have no value in any of the newest alerts of `sources`; none if no such alert exists."""
    groups = alike_in_kinds(db, of_sources(sources), paths)
    return {path for path in paths if groups and not any(group.kinds[path] for group in groups)}


def _field_names(db: AlertDatabase, sources: Sources) -> list[str]:
    """The paths of the fields of some alerts of `sources`."""
    found = db[COLLECTION].find(of_sources(sources), {"state_history": 0}).limit(_MAX_NAMES_READ)
    return sorted({path for alert in found for path in _paths_in(alert, "", _DEEPEST)})


def _paths_in(document: Mapping[str, Any], above: str, levels: int) -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, Mapping) and levels > 1:
            yield from _paths_in(value, f"{above}{name}.", levels - 1)
        else:
            yield f"{above}{name}"
