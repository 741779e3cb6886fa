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
def insert_new(db: AlertDatabase, alerts: Sequence[AlertDocument]) -> Inserted:
    """Insert alerts; one whose `alert_id` exists is left unchanged.

    Needs the collection's unique index. Callers look for existing alerts first: a duplicate that the server finds while
    inserting costs more than an insert. Positions of refusals count from 0 in `alerts`. Raises
    pymongo.errors.PyMongoError if the database fails.
    """
    faults: list[AlertDocument] = []
    if alerts:
        try:
            db[COLLECTION].insert_many(alerts, ordered=False)
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                raise
            faults = error.details["writeErrors"]
    refused = [Refusal(fault["index"], fault["errmsg"]) for fault in faults if not _is_duplicate(fault)]
    return Inserted(len(alerts) - len(faults), len(faults) - len(refused), refused)


def _is_duplicate(fault: AlertDocument) -> bool:
    return fault["code"] == _DUPLICATE_KEY and "alert_id" in fault.get("keyPattern", ())
