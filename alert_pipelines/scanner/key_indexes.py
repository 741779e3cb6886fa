"""Finds the indexes for the alerts of one key, and how to run a clause without one.

`index_advice.choice` chooses the index to advise.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from alert_pipelines.alerts import A_DATE, IS_PENDING
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.rules.clause import NONE, Clause, Filter, OtherAlerts, Stage


class KeyIndexes:
    """The indexes of `alerts` as they are at the first question."""

    def __init__(self, alerts: Collection[AlertDocument], session: ClientSession | None = None) -> None:
        self._alerts = alerts
        self._session = session

    def find_path(self, path: str, *, pending_only: bool = False) -> bool:
        """Whether an index finds the alerts of one source, or the pending ones of them, by `path`."""
        return any(paths[:2] == ["source_type", path] and (pending_only or not part) for paths, part in self._of_alerts)

    def find_key(self, key: Sequence[str]) -> bool:
        """Whether an index finds the alerts of one source by all of `key`."""
        return any(
            paths[:1] == ["source_type"] and set(paths[1 : len(key) + 1]) == set(key) and not part
            for paths, part in self._of_alerts
        )

    def scattered(self, clause: Clause) -> list[OtherAlerts]:
        """Those of the clause's others that no index can find by key."""
        of_others = {path for paths, _ in self._of_alerts for path in paths}
        return [others for others in clause.all_others if others.theirs[0] not in of_others]

    @cached_property
    def _of_alerts(self) -> list[tuple[list[str], bool]]:
        """The paths of each index, and whether it holds a part of the alerts only."""
        return [
            (list(index["key"]), "partialFilterExpression" in index)
            for index in self._alerts.list_indexes(session=self._session)
            # No statement of ours can use an index by another collation, and no statement at all a hidden one.
            if "collation" not in index and not index.get("hidden")
        ]


def pipeline_of(
    clause: Clause,
    scope: Filter | None,
    alerts: Collection[AlertDocument],
    indexes: KeyIndexes,
    session: ClientSession | None = None,
) -> list[Stage]:
    """The aggregation that yields the due alerts of `clause` within `scope`, in the way that `indexes` suggest.

    A look-up for each key, of which no index finds the alerts, would read all alerts as often as there are keys.
    """
    one_pass = None if indexes.find_key(clause.key) else clause.in_one_pass
    scattered = indexes.scattered(clause)
    if one_pass is None and not scattered:
        return clause.pipeline(scope)
    oldest = _oldest_pending(clause, alerts, session)
    if oldest is None:
        return replace(clause, candidates=NONE).pipeline(scope)
    decided = one_pass(oldest) if one_pass else clause
    return decided.reading_others_once(scattered, oldest).pipeline(scope)


def in_one_pass(clause: Clause, alerts: Collection[AlertDocument], session: ClientSession | None) -> Clause:
    """What decides the same as `clause` and reads each alert once."""
    if clause.in_one_pass is None:
        return clause
    oldest = _oldest_pending(clause, alerts, session)
    return clause.in_one_pass(oldest) if oldest else replace(clause, candidates=NONE, in_one_pass=None)


def _oldest_pending(
    clause: Clause, alerts: Collection[AlertDocument], session: ClientSession | None
) -> datetime | None:
    """The oldest timestamp that is pending, of alerts with a key or without: no later than those of the candidates."""
    [of_sources] = [test.filter for test in clause.predicates if test.name == "source_type"]
    pending = {**of_sources, **IS_PENDING, "timestamp": A_DATE}
    oldest = alerts.find_one(pending, {"timestamp": 1}, sort=[("timestamp", 1)], session=session)
    return oldest["timestamp"] if oldest else None
