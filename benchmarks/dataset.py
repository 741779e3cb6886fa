"""Synthetic pending alerts, made on the server from a seed-free recipe: the same count gives the same alerts.

Each driver has some twenty alerts, and one in twenty alerts names a vehicle, of which it is the only one. What rules
are tried on them is each benchmark's own matter.
"""

from datetime import datetime
from typing import Any

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.prepare import prepare_collections

SOURCE = "OVERSPEEDING"
DUE_AFTER_MINS = 24 * 60
ALERTS_A_DRIVER = 20
ALERTS_A_VEHICLE = 20
_CHUNK = 100_000
# Between two alerts of a driver, so that all twenty are of one day.
_STEP_MINS = DUE_AFTER_MINS // ALERTS_A_DRIVER


def fill(db: AlertDatabase, *, pending: int, due: int, as_of: datetime, source_type: str = SOURCE) -> None:
    """Replace the alerts of `db` by `pending` ones, `due` of them older than a day at `as_of`; make the indexes.

    The others are spread over the last day.
    """
    db.alerts.drop()
    # Odd steps scatter the due ones and the drivers over the insertion order.
    scattered = {"$mod": [{"$multiply": ["$n", 7_368_787]}, pending]}
    age_ms = {
        "$cond": [
            {"$lt": ["$scattered", due]},
            {"$add": [DUE_AFTER_MINS * 60_000, {"$multiply": ["$scattered", 1000]}]},
            {"$mod": [{"$multiply": ["$n", 7919]}, DUE_AFTER_MINS * 60_000]},
        ]
    }
    driver = {"$mod": ["$scattered", max(1, pending // ALERTS_A_DRIVER)]}
    for start in range(0, pending, _CHUNK):
        end = min(start + _CHUNK, pending)
        _insert(db, start, end, as_of, scattered=scattered, age_ms=age_ms, driver=driver, source_type=source_type)
    prepare_collections(db)


def grow(db: AlertDatabase, *, present: int, pending: int, as_of: datetime) -> None:
    """Add to `present` alerts, made by this too, what lacks of `pending`; multiples of 20. Indexes are made at the end.

    The alerts of a driver are at least an hour apart, the newest less than ten minutes old and the oldest less than a
    day: so it is for any number of them.
    """
    for start in range(present, pending, _CHUNK):
        end = min(start + _CHUNK, pending)
        place = {"$mod": [{"$multiply": [{"$subtract": ["$n", start]}, 7919]}, end - start]}
        of_driver = {"$mod": ["$scattered", ALERTS_A_DRIVER]}
        jitter_ms = {"$mod": [{"$multiply": ["$n", 7919]}, 10 * 60_000]}
        _insert(
            db,
            start,
            end,
            as_of,
            scattered={"$add": [start, place]},
            age_ms={"$add": [{"$multiply": [of_driver, _STEP_MINS * 60_000]}, jitter_ms]},
            driver={"$floor": {"$divide": ["$scattered", ALERTS_A_DRIVER]}},
            source_type=SOURCE,
        )
    prepare_collections(db)


def reopen(db: AlertDatabase) -> None:
    """Set what scans have closed back to what it was, as if nothing had ever closed it."""
    as_created = {
        "status": "OPEN",
        "updated_at": "$created_at",
        "state_history": {"$slice": ["$state_history", 1]},
    }
    db.alerts.update_many(
        {"status": "AUTO_CLOSED"}, [{"$set": as_created}, {"$unset": ["closed_at", "auto_close_reason"]}]
    )


def _insert(
    db: AlertDatabase,
    start: int,
    end: int,
    as_of: datetime,
    *,
    scattered: Any,
    age_ms: Any,
    driver: Any,
    source_type: str,
) -> None:
    """Insert alerts `start` to `end`; `$n` is an alert's number, `$scattered` what the first expression gives."""
    number = {"$toString": "$n"}
    entry = {
        "from_status": None,
        "to_status": "OPEN",
        "timestamp": "$timestamp",
        "reason": "created",
        "triggered_by": "api",
    }
    metadata = {
        "driver_id": {"$concat": ["D", {"$toString": {"$toLong": driver}}]},
        "vehicle_id": {"$cond": [{"$mod": ["$n", ALERTS_A_VEHICLE]}, "$$REMOVE", {"$concat": ["V", number]}]},
        "speed": {"$add": [81, {"$mod": ["$n", 60]}]},
        "speed_limit": {"$literal": 80},
        "document_valid": {"$literal": False},
        "location": {"$concat": ["Road ", number, ", kilometre 12, direction north"]},
    }
    db.aggregate(
        [
            {"$documents": [{"n": {"$range": [start, end]}}]},
            {"$unwind": "$n"},
            {"$set": {"scattered": scattered}},
            {"$set": {"timestamp": {"$subtract": [as_of, {"$toLong": age_ms}]}}},
            {
                "$project": {
                    "_id": 0,
                    "alert_id": {"$concat": ["ALT-", number]},
                    "source_type": source_type,
                    "severity": "WARNING",
                    "status": "OPEN",
                    "timestamp": 1,
                    "metadata": metadata,
                    "state_history": [entry],
                    "created_at": "$timestamp",
                    "updated_at": "$timestamp",
                }
            },
            {"$merge": {"into": "alerts", "whenMatched": "fail"}},
        ]
    )
