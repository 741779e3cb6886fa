"""Every command that PyMongo sends, in order, as it was sent: for tests of how much and what a scan asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bson
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from alert_pipelines.mongo import AlertDatabase

# Those of the driver's own that no statement of a program causes.
_HOUSEKEEPING = frozenset({"endSessions", "hello", "ping"})


@dataclass
class Recorder(CommandListener):
    """The commands sent so far, the oldest first."""

    commands: list[dict[str, Any]] = field(default_factory=list)

    def started(self, event: CommandStartedEvent) -> None:
        """Keep a copy: the driver goes on using what it sent."""
        sent = dict(event.command)
        # An insert's documents need not be BSON of their own kind; all else of a command is.
        self.commands.append(bson.decode(bson.encode(sent)) | {"$db": event.database_name})

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to keep."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to keep."""

    def of_the_program(self) -> list[dict[str, Any]]:
        """Without what the driver and the lease's own thread send whenever their time comes."""
        return [one for one in self.commands if next(iter(one)) not in _HOUSEKEEPING and not _renews_a_lease(one)]


@contextmanager
def recorded(db: AlertDatabase, uri: str) -> Iterator[tuple[AlertDatabase, Recorder]]:
    """The database `db` of the server `uri` through a client of its own, and all that is sent through it."""
    recorder = Recorder()
    with MongoClient[dict[str, Any]](uri, tz_aware=True, w="majority", event_listeners=[recorder]) as client:
        yield client[db.name], recorder


def _renews_a_lease(command: dict[str, Any]) -> bool:
    if command.get("update") != "background_jobs":
        return False
    [update] = command["updates"]
    match update["u"]:
        case [{"$set": {"lease_expires_at": _} as fields}]:
            return len(fields) == 1
    return False
