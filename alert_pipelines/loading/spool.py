"""A temporary SQLite file for what a load has to remember of a file of any size, so that memory need not.

It knows rows, ids and order; `events` says what an alert makes of its updates.
"""

import itertools
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import bson

from alert_pipelines.alerts import Status
from alert_pipelines.errors import LoadError
from alert_pipelines.loading.events import Event
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.mongo.door import KNOWN_CODEC

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Nothing of it is wanted after a crash. The cache is what bounds the memory.
_SCHEMA = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; PRAGMA cache_size = -4000;
CREATE TABLE seen (id TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID;
CREATE TABLE updates (id TEXT, time INTEGER, line INTEGER, status TEXT, state TEXT, actor TEXT, document BLOB);
"""


class Update(NamedTuple):
    """A row of an event log: the line it stood on, what happened, and the fields that it says, in BSON."""

    line: int
    event: Event
    encoded: bytes

    def fields(self) -> AlertDocument:
        """What this row says of its alert."""
        return bson.decode(self.encoded, KNOWN_CODEC)


class Spool:
    """Counts ids, and keeps the updates of alerts until all have been read; made by `open_spool`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def ordinal(self, row_id: str) -> int:
        """How many times `row_id` was asked for, this time included."""
        counted = self._db.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times", (row_id,)
        )
        return int(counted.fetchone()[0])

    def seen_before(self, ids: list[str]) -> list[int]:
        """The positions in `ids` of those that were given before, or stand earlier in the list."""
        rows = self._db.execute("SELECT id FROM seen WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
        known = {row[0] for row in rows}
        repeated = []
        for position, row_id in enumerate(ids):
            if row_id in known:
                repeated.append(position)
            known.add(row_id)
        self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, 1)", [(row_id,) for row_id in ids])
        return repeated

    def add(self, alert_id: str, update: Update) -> None:
        """Keep one update of the alert `alert_id`."""
        event = update.event
        time = (event.time - _EPOCH) // _MICROSECOND
        self._db.execute(
            "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?)",
            (alert_id, time, update.line, str(event.status), event.state, event.actor, update.encoded),
        )

    def alerts(self) -> Iterator[Iterator[Update]]:
        """For each alert its updates in order of time, those of the same time as in the file."""
        rows = self._db.execute("SELECT * FROM updates ORDER BY id, time, line")
        for _, updates in itertools.groupby(rows, key=lambda row: row[0]):
            yield map(_update, updates)


def _update(row: tuple[str, int, int, str, str, str, bytes]) -> Update:
    _, time, line, status, state, actor, encoded = row
    return Update(line, Event(_EPOCH + time * _MICROSECOND, Status(status), state, actor), encoded)


@contextmanager
def open_spool() -> Iterator[Spool]:
    """A fresh spool in the directory for temporary files; nothing of it is left, whatever ends the process.

    Raises LoadError when that directory cannot be written or is full.
    """
    try:
        directory = tempfile.TemporaryDirectory(prefix="alert_pipelines_load_")
    except OSError as error:
        raise _no_room(error) from error
    try:
        with directory as name:
            connection = sqlite3.connect(Path(name) / "spool.sqlite", isolation_level=None)
            connection.executescript(_SCHEMA + "BEGIN;")
        # The file has no name any more, so that a load that is killed leaves none.
        with closing(connection):
            yield Spool(connection)
    except sqlite3.Error as error:
        raise _no_room(error) from error


def _no_room(error: Exception) -> LoadError:
    return LoadError(
        f"the temporary file of this load cannot be written: {error}. Free space in the directory for temporary "
        "files, or set TMPDIR to one with more space."
    )
