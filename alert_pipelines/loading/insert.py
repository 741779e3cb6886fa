"""Inserts alerts that do not exist yet. All other code of this package inserts alerts through this module."""

from collections.abc import Sequence
from typing import NamedTuple

from pymongo.errors import BulkWriteError

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door

BATCH_SIZE = 5000
_DUPLICATE_KEY = 11000


class Refusal(NamedTuple):
    """An alert that the server refused (the collection may have a validator), with the reason."""

    position: int
    reason: str


class Inserted(NamedTuple):
    """The result of a batch: every alert is counted in exactly one of the three fields."""

    inserted: int
    already_there: int
    refused: list[Refusal]


@at_the_door
def insert_if_absent(db: AlertDatabase, alerts: Sequence[AlertDocument]) -> Inserted:
    """Insert the alerts whose `alert_id` does not exist; leave others unchanged.

    Needs the collection's unique index. Positions of refusals count from 0 in `alerts`. Raises
    pymongo.errors.PyMongoError if the database fails.
    """
    # Querying first is the fastest way, for new and for existing alerts: a duplicate that the server finds while
    # inserting costs more than an insert, an upsert four times as much.
    ids = [alert["alert_id"] for alert in alerts]
    found = db[COLLECTION].find({"alert_id": {"$in": ids}}, {"_id": False, "alert_id": True})
    there = {alert["alert_id"] for alert in found}
    new = [index for index, alert_id in enumerate(ids) if alert_id not in there]
    done = insert_new(db, [alerts[index] for index in new])
    refused = [Refusal(new[index], reason) for index, reason in done.refused]
    return Inserted(done.inserted, len(ids) - len(new) + done.already_there, refused)


@at_the_door
def insert_new(db: AlertDatabase, alerts: Sequence[AlertDocument]) -> Inserted:
    """Insert alerts that did not exist a moment ago. Returns the same as `insert_if_absent`."""
    duplicates, refused = _insert(db, alerts) if alerts else (0, [])
    return Inserted(len(alerts) - duplicates - len(refused), duplicates, refused)


def _insert(db: AlertDatabase, new: Sequence[AlertDocument]) -> tuple[int, list[Refusal]]:
    """Insert; return the number of duplicates (in the batch, or from another load) and the refused alerts."""
    try:
        db[COLLECTION].insert_many(new, ordered=False)
    except BulkWriteError as error:
        if error.details["writeConcernErrors"]:
            raise
        faults = error.details["writeErrors"]
        refused = [Refusal(fault["index"], fault["errmsg"]) for fault in faults if not _is_duplicate(fault)]
        return len(faults) - len(refused), refused
    return 0, []


def _is_duplicate(fault: AlertDocument) -> bool:
    return fault["code"] == _DUPLICATE_KEY and "alert_id" in fault.get("keyPattern", ())
