"""Which alerts the indexes find: those of a key, of a path, others that go with an alert.

The scan reads by it, and `index_advice` advises by it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.rules.clause import Clause, OtherAlerts


class KeyIndexes:
    """The indexes of `alerts` as they are at the first question."""

    def __init__(self, alerts: Collection[AlertDocument], session: ClientSession | None = None) -> None:
        self._alerts = alerts
        self._session = session

    def find_path(self, path: str, *, pending_only: bool = False) -> bool:
        """Whether an index finds the alerts of one source, or the pending ones of them, by `path`."""
        return any(paths[:2] == ["source_type", path] and (pending_only or not part) for paths, part in self._of_alerts)

    def holds_arrays(self, path: str) -> bool:
        """Whether an alert had an array at `path` since the index that finds alerts by it was made.

        With both bounds of a range the server then reads from one of them to the end of the index.
        """
        # A partial one knows of some alerts only.
        found = [spec for spec in self._usable if "partialFilterExpression" not in spec]
        name = next(spec["name"] for spec in found if list(spec["key"])[:2] == ["source_type", path])
        # Of what a listing of the indexes does not say, a plan does, for each of its paths.
        asked = {"find": self._alerts.name, "filter": {}, "hint": name}
        plan = self._alerts.database.command("explain", asked, verbosity="queryPlanner")
        return any(found.get(path) for found in _values_of("multiKeyPaths", plan))

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
    def specs(self) -> list[Mapping[str, Any]]:
        """The indexes as the server lists them; no statement of ours can use one by another collation."""
        return [spec for spec in self._alerts.list_indexes(session=self._session) if "collation" not in spec]

    @cached_property
    def _of_alerts(self) -> list[tuple[list[str], bool]]:
        """The paths of each index, and whether it holds a part of the alerts only."""
        return [(list(spec["key"]), "partialFilterExpression" in spec) for spec in self._usable]

    @property
    def _usable(self) -> list[Mapping[str, Any]]:
        # No statement at all can use a hidden one.
        return [spec for spec in self.specs if not spec.get("hidden")]


def _values_of(name: str, plan: Any) -> Iterator[Any]:
    """What `plan` has under `name`, wherever it lies: each kind of server and of plan nests it in another way."""
    if isinstance(plan, dict):
        if name in plan:
            yield plan[name]
        plan = list(plan.values())
    if isinstance(plan, list):
        for inner in plan:
            yield from _values_of(name, inner)
