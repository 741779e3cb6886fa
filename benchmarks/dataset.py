"""Synthetic pending alerts, made on the server from a seed-free recipe: the same count gives the same alerts.

Of `pending` alerts of OVERSPEEDING exactly `due` are older than a day; the rest are spread over the last day.
Each driver has some twenty alerts.
"""

from datetime import datetime

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner.collections import prepare_collections

DUE_AFTER_MINS = 24 * 60
_CHUNK = 100_000


def fill(db: AlertDatabase, *, pending: int, due: int, as_of: datetime, source_type: str = "OVERSPEEDING") -> None:
    """Replace the alerts of `db` by `pending` ones, `due` of them older than a day at `as_of`; make the indexes."""
    db.alerts.drop()
    drivers = max(1, pending // 20)
    for start in range(0, pending, _CHUNK):
        numbers = {"$range": [start, min(start + _CHUNK, pending)]}
        # Odd steps scatter the due ones and the drivers over the insertion order.
        scattered = {"$mod": [{"$multiply": ["$n", 7_368_787]}, pending]}
        age_ms = {
            "$cond": [
                {"$lt": ["$scattered", due]},
                {"$add": [DUE_AFTER_MINS * 60_000, {"$multiply": ["$scattered", 1000]}]},
                {"$mod": [{"$multiply": ["$n", 7919]}, DUE_AFTER_MINS * 60_000]},
            ]
        }
        number = {"$toString": "$n"}
        db.aggregate(
            [
                {"$documents": [{"n": numbers}]},
                {"$unwind": "$n"},
                {"$set": {"scattered": scattered}},
                {"$set": {"timestamp": {"$subtract": [as_of, age_ms]}}},
                {
                    "$project": {
                        "_id": 0,
                        "alert_id": {"$concat": ["ALT-", number]},
                        "source_type": source_type,
                        "severity": "WARNING",
                        "status": "OPEN",
                        "timestamp": 1,
                        "metadata": {
                            "driver_id": {"$concat": ["D", {"$toString": {"$mod": ["$scattered", drivers]}}]},
                            "vehicle_id": {"$concat": ["V", number]},
                            "speed": {"$add": [81, {"$mod": ["$n", 60]}]},
                            "speed_limit": {"$literal": 80},
                            "location": {"$concat": ["Road ", number, ", kilometre 12, direction north"]},
                        },
                        "state_history": [
                            {
                                "from_status": None,
                                "to_status": "OPEN",
                                "timestamp": "$timestamp",
                                "reason": "created",
                                "triggered_by": "api",
                            }
                        ],
                        "created_at": "$timestamp",
                        "updated_at": "$timestamp",
                    }
                },
                {"$merge": {"into": "alerts", "whenMatched": "fail"}},
            ]
        )
    prepare_collections(db)
