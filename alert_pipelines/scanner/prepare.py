"""The collections as a whole: their indexes, made before anything is read or claimed; whether they hold anything."""

from alert_pipelines import alerts, job_records
from alert_pipelines.errors import IndexConflictError, MongoAuthenticationError
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules import rule_collections, store
from alert_pipelines.settings import DATABASE_VARIABLE


@at_the_door
def prepare_collections(db: AlertDatabase) -> tuple[str, ...]:
    """Create every index that is missing; return why some could not be made. Idempotent.

    Raises IndexConflictError, MongoAuthenticationError if the claim's cannot be made.
    """
    faults = []
    for ensure_indexes in (job_records.ensure_indexes, alerts.ensure_indexes, store.ensure_indexes):
        # Indexes are an optimisation. Alerts are written by their `_id`, and rules that share an id decide nothing, so
        # one document that does not fit into an index does not keep all others waiting.
        try:
            ensure_indexes(db)
        except (IndexConflictError, MongoAuthenticationError) as fault:
            job_records.ensure_claim_index(db)
            faults.append(str(fault))
    return tuple(faults)


@at_the_door
def empty_warnings(db: AlertDatabase) -> tuple[str, ...]:
    """What is odd about a database that holds neither alerts nor rules: most likely another one was meant."""
    if any(db[name].find_one({}, {"_id": 1}) for name in (alerts.COLLECTION, *rule_collections.COLLECTIONS)):
        return ()
    said = f"the database {db.name!r} holds neither alerts nor rules: check that {DATABASE_VARIABLE} names the one "
    return (f"{said}that the alert service writes to",)
