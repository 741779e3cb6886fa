"""Making the collections ready: the indexes of all of them, before anything is read or claimed."""

from alert_pipelines import alerts, job_records
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.rules import store


def prepare_collections(db: AlertDatabase) -> list[str]:
    """Create every index that is missing; return their names. Idempotent. Raises IndexConflictError."""
    return [*alerts.ensure_indexes(db), *store.ensure_indexes(db), *job_records.ensure_indexes(db)]
