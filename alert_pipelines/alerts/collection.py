"""The collection of alerts: its name, its indexes, and access to one alert."""

from collections.abc import Sequence
from typing import Any

import bson
from pymongo import ASCENDING, IndexModel

from alert_pipelines.alerts.filters import (
    OUTSIDE_CONTRACT,
    PENDING_IN_INDEX,
    WITH_SOURCE_ARRAY,
    WITH_STATUS_ARRAY,
    one_of,
)
from alert_pipelines.errors import AlertNotFoundError, SharedAlertIdError
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.indexes import create_missing_indexes

COLLECTION = "alerts"


def _index(name: str, *paths: str, of: dict[str, Any] | None = None, **options: Any) -> IndexModel:
    """An index over `paths`, of all alerts or of those that the filter `of` selects."""
    partial = {} if of is None else {"partialFilterExpression": of}
    return IndexModel([(path, ASCENDING) for path in paths], name=name, **partial, **options)


# The indexes of pending alerts are partial: their size, and what a scan reads, follows the pending alerts and
# not the years of closed ones.
INDEXES = (
    _index("alert_id_unique", "alert_id", unique=True),
    _index("pending_by_time", "status", "timestamp", of=PENDING_IN_INDEX),
    _index("pending_by_source", "source_type", "status", "timestamp", of=PENDING_IN_INDEX),
    # Few alerts have one: the others need no key here, which each close would have to remove.
    _index("pending_with_expiry", "expires_at", of={**PENDING_IN_INDEX, "expires_at": {"$exists": True}}),
    # Empty where alerts are as the service writes them: any other index has a key for each date of an array.
    _index("pending_with_timestamp_array", "timestamp", of={**PENDING_IN_INDEX, "timestamp": {"$type": "array"}}),
    _index("pending_with_expiry_array", "expires_at", of={**PENDING_IN_INDEX, "expires_at": {"$type": "array"}}),
    _index("by_source", "source_type", "timestamp"),
    _index("by_driver", "source_type", "metadata.driver_id", "timestamp"),
    _index("by_vehicle", "source_type", "metadata.vehicle_id", "timestamp"),
    # Empty where every status is one of the contract, so no write pays for it.
    _index("status_outside_contract", "status", of=OUTSIDE_CONTRACT),
    # These two, empty as well, tell how many alerts of the indexes above have an array where a text belongs.
    _index("status_array", "status", of=WITH_STATUS_ARRAY),
    _index("pending_with_source_array", "source_type", of=WITH_SOURCE_ARRAY),
    # Sparse: most alerts were never decided by a job.
    _index("decisions_by_job", "state_history.job_id", sparse=True),
)


@at_the_door
def ensure_indexes(db: AlertDatabase) -> list[str]:
    """Create the missing indexes of `alerts`, and return their names.

    Raises IndexConflictError, as DuplicateKeyValuesError where alerts share an id and all else is made.
    """
    return create_missing_indexes(db, COLLECTION, INDEXES)


@at_the_door
def find_alert(db: AlertDatabase, alert_id: str, fields: Sequence[str] | None = None) -> AlertDocument:
    """The one alert of this id, whole or only its `fields`. Raises AlertNotFoundError, SharedAlertIdError."""
    found = list(db[COLLECTION].find({"alert_id": one_of([alert_id])}, fields).limit(2))
    if not found:
        raise AlertNotFoundError(f"no alert {alert_id!r} in {db.name}.{COLLECTION}: check the id")
    if len(found) > 1:
        raise SharedAlertIdError(
            f"several alerts in {db.name}.{COLLECTION} have the alert_id {alert_id!r}. Give each a different id, then "
            "try again"
        )
    return found[0]


def alert_key(_id: Any) -> bytes:
    """What identifies an alert in sets: any value may be an `_id`, also one that cannot be hashed."""
    return bson.encode({"_id": _id})
