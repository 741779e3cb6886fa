"""A temporary SQLite file for data that a load must remember, so that memory does not grow with the file.

It stores rows, ids and order; `events` applies updates.
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
# The file is not needed after a crash. The cache limits the memory.
_SCHEMA = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; PRAGMA cache_size = -4000;
CREATE TABLE seen (id TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID;
CREATE TABLE updates (id TEXT, time INTEGER, line INTEGER, status TEXT, state TEXT, actor TEXT, document BLOB);
"""


class Update(NamedTuple):
    """A row of an event log: its line, the event, and its fields, in BSON."""

    line: int
    event: Event
    encoded: bytes

    def fields(self) -> AlertDocument:
        """Return the fields of the alert that this row has."""
        return bson.decode(self.encoded, KNOWN_CODEC)


class Spool:
    """Counts ids, and keeps the updates of alerts until all are read. Create it with `open_spool`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def ordinal(self, row_id: str) -> int:
        """Return the number of calls with `row_id`, including this one."""
        counted = self._db.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times", (row_id,)
        )
        return int(counted.fetchone()[0])

    def seen_before(self, ids: list[str]) -> list[int]:
        """Return the positions in `ids` of ids that were given before, or earlier in the list."""
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
        """Yield the updates of each alert, in order of time, then of the file."""
        rows = self._db.execute("SELECT * FROM updates ORDER BY id, time, line")
        for _, updates in itertools.groupby(rows, key=lambda row: row[0]):
            yield map(_update, updates)


def _update(row: tuple[str, int, int, str, str, str, bytes]) -> Update:
    _, time, line, status, state, actor, encoded = row
    return Update(line, Event(_EPOCH + time * _MICROSECOND, Status(status), state, actor), encoded)


@contextmanager
def open_spool() -> Iterator[Spool]:
    """Open a new spool in the directory for temporary files. It is deleted, even if the process is killed.

    Raises LoadError if that directory cannot be written or is full.
    """
    try:
        directory = tempfile.TemporaryDirectory(prefix="alert_pipelines_load_")
    except OSError as error:
        raise _no_room(error) from error
    try:
        with directory as name:
            connection = sqlite3.connect(Path(name) / "spool.sqlite", isolation_level=None)
            connection.executescript(_SCHEMA + "BEGIN;")
        # The file is deleted by now, so a load that is killed leaves none.
        with closing(connection):
            yield Spool(connection)
    except sqlite3.Error as error:
        raise _no_room(error) from error


def _no_room(error: Exception) -> LoadError:
    return LoadError(
        f"the temporary file of this load cannot be written: {error}. Free space in the directory for temporary "
        "files, or set TMPDIR to one with more space."
    )
