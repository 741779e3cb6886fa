"""The collections as a whole: their indexes, made before anything is read or claimed; whether they hold anything."""

from alert_pipelines import alerts, job_records
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.settings import DATABASE_VARIABLE
from alert_pipelines.rules import store


def prepare_collections(db: AlertDatabase) -> list[str]:
    """Create every index that is missing; return their names. Idempotent. Raises IndexConflictError."""
    return [*alerts.ensure_indexes(db), *store.ensure_indexes(db), *job_records.ensure_indexes(db)]


def emptiness(db: AlertDatabase) -> tuple[str, ...]:
    """What is odd about a database that holds neither alerts nor rules: most likely another one was meant."""
    if any(db[name].find_one({}, {"_id": 1}) for name in (alerts.COLLECTION, store.COLLECTION)):
        return ()
    said = f"the database {db.name!r} holds neither alerts nor rules: check that {DATABASE_VARIABLE} names the one "
    return (f"{said}that the alert service writes to",)
