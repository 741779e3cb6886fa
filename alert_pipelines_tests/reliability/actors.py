"""Other clients of the alerts, busy while a scan runs: they resolve, reopen, delete, change and insert."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo.errors import PyMongoError

from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines_tests.factories import alert

PENDING = ["OPEN", "ESCALATED"]
EXEMPT = {"metadata.additional_data.exempt": True}


def _step(to_status: str | None, who: str, **change: Any) -> list[dict[str, Any]]:
    """A person's update with its entry in the history; without a status it stays what it was."""
    status: Any = to_status or "$status"
    entry = {"from_status": "$status", "to_status": status, "timestamp": "$$NOW", "triggered_by": who}
    history = {"$concatArrays": ["$state_history", [entry]]}
    return [{"$set": {**change, "status": status, "updated_at": "$$NOW", "state_history": history}}]


class Actors:
    """What they did: the ids they deleted and inserted, and how often they did what."""

    def __init__(self, db: AlertDatabase, ids: list[str], seed: int) -> None:
        self.deleted: set[str] = set()
        self.inserted: set[str] = set()
        self.acts: Counter[str] = Counter()
        self._alerts = db.alerts
        self._ids = ids
        self._random = random.Random(seed)
        self._number = seed * 10_000_000

    def act(self) -> None:
        """Do one thing to one alert."""
        act: Callable[[str], int] = self._random.choice(
            [self.resolve, self.reopen, self.exempt, self.delete, self.insert]
        )
        done = act(self._random.choice(self._ids))
        self.acts[act.__name__] += done

    def resolve(self, alert_id: str) -> int:
        query = {"alert_id": alert_id, "status": {"$in": PENDING}}
        return self._alerts.update_one(query, _step("RESOLVED", "person", resolved_at="$$NOW")).modified_count

    def reopen(self, alert_id: str) -> int:
        query = {"alert_id": alert_id, "status": "AUTO_CLOSED"}
        return self._alerts.update_one(query, _step("OPEN", "person")).modified_count

    def exempt(self, alert_id: str) -> int:
        """Change the metadata so that no rule concerns the alert any longer."""
        query = {"alert_id": alert_id, "status": {"$in": PENDING}}
        return self._alerts.update_one(query, _step(None, "exempter", **EXEMPT)).modified_count

    def delete(self, alert_id: str) -> int:
        deleted = self._alerts.delete_one({"alert_id": alert_id}).deleted_count
        self.deleted.add(alert_id)
        return deleted

    def insert(self, _: str) -> int:
        self._number += 1
        new = alert(f"inserted-{self._number}", minutes=120, driver=f"N{self._number}")
        self._alerts.insert_one(new)
        self.inserted.add(new["alert_id"])
        return 1


@contextmanager
def acting(uri: str, name: str, ids: list[str], threads: int = 2) -> Iterator[list[Actors]]:
    """Actors at work in threads with a client of their own until the block ends."""
    stop, failures = threading.Event(), list[BaseException]()
    with open_database(MongoSettings(uri, name, Path())) as db:
        all_actors = [Actors(db, ids, seed) for seed in range(1, threads + 1)]

        def work(actors: Actors) -> None:
            try:
                while not stop.is_set():
                    actors.act()
            except PyMongoError as failure:
                failures.append(failure)

        workers = [threading.Thread(target=work, args=(actors,)) for actors in all_actors]
        for worker in workers:
            worker.start()
        try:
            yield all_actors
        finally:
            stop.set()
            for worker in workers:
                worker.join()
    assert not failures
