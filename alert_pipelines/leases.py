"""Renewing the lease of a running job record, so that nobody takes its owner for dead.

What a lease is, and what becomes of a record whose lease ran out, belongs to `job_records`.
"""

import logging
import threading
import time
from typing import Self

import pymongo
from pymongo.errors import PyMongoError

from alert_pipelines.errors import LeaseLostError
from alert_pipelines.job_records import COLLECTION, RUNNING, lease_from_now
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.settings import read_settings

_RENEWALS = 6
"""In the time of a lease."""

_log = logging.getLogger(__name__)


def write_limit_s(lease_s: int) -> float:
    """How many seconds a write may take after `Lease.check`, so that none lands when the claim may be another's."""
    return lease_s / 3


class Lease:
    """Renews the lease of a running record from a separate thread, for as long as the `with` block lasts."""

    def __init__(self, db: AlertDatabase, job_id: str) -> None:
        self._db = db
        self._job_id = job_id
        self._lease_s = read_settings().lease_s
        self._lost: str | None = None
        self._renewed_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name=f"lease-{job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLostError unless the claim surely still holds; to be called before every write."""
        age = time.monotonic() - self._renewed_at
        if self._lost is None and age > self._lease_s - write_limit_s(self._lease_s):
            self._lost = f"it could not be renewed for {age:.0f} s"
        if self._lost is not None:
            raise LeaseLostError(f"{self._job_id} lost its claim: {self._lost}. What it wrote stands; it stops here.")

    def _renew_until_stopped(self) -> None:
        renew_every_s = self._lease_s / _RENEWALS
        while not self._stop.wait(renew_every_s):
            asked_at = time.monotonic()
            try:
                with pymongo.timeout(renew_every_s):
                    result = self._db[COLLECTION].update_one(
                        {"job_id": self._job_id, "status": RUNNING},
                        [{"$set": lease_from_now(self._lease_s)}],
                    )
            except PyMongoError as error:
                _log.warning("Lease of %s not renewed, trying again: %s", self._job_id, error)
                continue
            if result.matched_count == 0:
                self._lost = "the record was ended by another process"
                return
            self._renewed_at = asked_at
