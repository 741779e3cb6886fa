"""Inserting alerts that are not there yet: the one way alerts get into the collection from here."""

from collections.abc import Sequence
from typing import NamedTuple

from pymongo.errors import BulkWriteError

from alert_pipelines.alerts import COLLECTION
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door

BATCH_SIZE = 5000
_DUPLICATE_KEY = 11000


class Refusal(NamedTuple):
    """An alert that the server would not take (the collection may have a validator), and its reason."""

    position: int
    reason: str


class Inserted(NamedTuple):
    """What became of a batch: every alert of it is in exactly one of the three."""

    inserted: int
    already_there: int
    refused: list[Refusal]


@at_the_door
def insert_if_absent(db: AlertDatabase, alerts: Sequence[AlertDocument]) -> Inserted:
    """Insert those of `alerts` whose `alert_id` is not there; leave the others as they are.

    Needs the collection's unique index. A refusal's position counts from 0 in `alerts`. Raises
    pymongo.errors.PyMongoError when the database fails.
    """
    # Asked first because it is by far the fastest, for new alerts and for those that are there: a duplicate
    # that the server finds while inserting costs more than an insert, an upsert four times as much.
    ids = [alert["alert_id"] for alert in alerts]
    found = db[COLLECTION].find({"alert_id": {"$in": ids}}, {"_id": False, "alert_id": True})
    there = {alert["alert_id"] for alert in found}
    new = [index for index, alert_id in enumerate(ids) if alert_id not in there]
    done = insert_new(db, [alerts[index] for index in new])
    refused = [Refusal(new[index], reason) for index, reason in done.refused]
    return Inserted(done.inserted, len(ids) - len(new) + done.already_there, refused)


@at_the_door
def insert_new(db: AlertDatabase, alerts: Sequence[AlertDocument]) -> Inserted:
    """As `insert_if_absent`, for alerts that were not there a moment ago."""
    duplicates, refused = _insert(db, alerts) if alerts else (0, [])
    return Inserted(len(alerts) - duplicates - len(refused), duplicates, refused)


def _insert(db: AlertDatabase, new: Sequence[AlertDocument]) -> tuple[int, list[Refusal]]:
    """Insert; return how many were there after all (twice in the batch, another load) and those refused."""
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
