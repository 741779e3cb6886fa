"""Compares alerts of a file with stored ones, and updates these if asked."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.loading.merge import Snapshot, Updates
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door

# After that, an alert that others keep changing is left for the next load.
_ATTEMPTS = 3
# Every decision about an alert changes one of these fields.
_UNCHANGED = ("_id", "status", "state_history", "updated_at")


class Updated(NamedTuple):
    """The number of alerts written and still different, of decisions kept, and the refused ids with the reason."""

    written: int
    differing: int
    decisions_kept: int
    refused: list[tuple[str, str]]


@at_the_door
def find_stored(db: AlertDatabase, alert_ids: list[str]) -> dict[str, AlertDocument]:
    """Return the stored alerts with these ids, with dates in UTC."""
    return {alert["alert_id"]: alert for alert in db[COLLECTION].find({"alert_id": {"$in": alert_ids}})}


@at_the_door
def update_stored(
    db: AlertDatabase, incoming: Mapping[str, Snapshot | Updates], stored: dict[str, AlertDocument], *, write: bool
) -> Updated:
    """Merge the alerts of the file, by id, into the `stored` ones; without `write`, only count differences.

    Each alert is changed in one write, and only if it is still as it was read. A repeated load changes nothing.
    """
    changes, kept = _changes(incoming, stored)
    if not write:
        return Updated(0, len(changes), kept, [])
    first = len(changes)
    refused: dict[str, str] = {}
    for _ in range(_ATTEMPTS):
        if not changes:
            break
        refused |= _write(db, changes)
        waiting = {alert_id: incoming[alert_id] for alert_id in changes if alert_id not in refused}
        changes, _ = _changes(waiting, find_stored(db, list(waiting)))
    return Updated(first - len(changes) - len(refused), len(changes), kept, list(refused.items()))


_Changes = dict[str, tuple[AlertDocument, AlertDocument]]


def _changes(incoming: Mapping[str, Snapshot | Updates], stored: dict[str, AlertDocument]) -> tuple[_Changes, int]:
    changes, kept = {}, 0
    for alert_id, what in incoming.items():
        if alert_id in stored:
            merged = what.merge_into(stored[alert_id])
            kept += merged.decision_kept
            if merged.alert != stored[alert_id]:
                changes[alert_id] = (stored[alert_id], merged.alert)
    return changes, kept


def _write(db: AlertDatabase, changes: _Changes) -> dict[str, str]:
    """Write each change whose alert is as it was read; return the ids that the server refused, with the reason."""
    ids = list(changes)
    writes = [
        UpdateOne({name: before.get(name) for name in _UNCHANGED}, _difference(before, after))
        for before, after in changes.values()
    ]
    try:
        db[COLLECTION].bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        if error.details["writeConcernErrors"]:
            raise
        return {ids[fault["index"]]: fault["errmsg"] for fault in error.details["writeErrors"]}
    return {}


def _difference(before: AlertDocument, after: AlertDocument) -> dict[str, dict[str, Any]]:
    """Return an update of changed fields only, so that concurrent writes to other fields are kept."""
    old, new = before["metadata"], after["metadata"]
    put = {name: value for name, value in after.items() if name != "metadata" and before.get(name) != value}
    put |= {f"metadata.{name}": value for name, value in new.items() if name not in old or old[name] != value}
    gone = {f"metadata.{name}": "" for name in old if name not in new}
    return {**({"$set": put} if put else {}), **({"$unset": gone} if gone else {})}
