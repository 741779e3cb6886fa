"""`load_alerts`: a file into the collection, by a mapping, in batches, as often as one likes.

What the rows say is read by `documents`; here it is decided what is loaded, what is left out and what is counted.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import bson
from bson import json_util

from alert_pipelines.alerts import ensure_indexes
from alert_pipelines.instants import as_utc
from alert_pipelines.loading.documents import RowReader
from alert_pipelines.loading.fold import folded
from alert_pipelines.loading.insert import BATCH_SIZE, insert_missing
from alert_pipelines.loading.mapping import Mapping
from alert_pipelines.loading.readers import BadRow, Row, read_rows
from alert_pipelines.loading.rejects import RejectFile, RejectReason, default_reject_path
from alert_pipelines.loading.row_values import RowError
from alert_pipelines.loading.spool import Spool, Update, open_spool
from alert_pipelines.loading.summary import Summary
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door


@dataclass(frozen=True)
class LoadReport:
    """What a load did, or has done so far.

    rows_read = alerts_inserted + alerts_already_there + rows_rejected + rows_after_until, but for event logs,
    where many rows make one alert; `never_fired` counts the ids of a log that were never anything but closed. `summary`
    is of the alerts, inserted or already there. `reject_path` is None when nothing was rejected; `reject_reasons`
    counts what was.
    """

    rows_read: int
    alerts_inserted: int
    alerts_already_there: int
    rows_rejected: int
    rows_after_until: int
    never_fired: int
    reject_path: Path | None
    reject_reasons: list[RejectReason]
    summary: Summary
    seconds: float

    @property
    def nothing_usable(self) -> bool:
        """Whether rows were rejected and none became an alert: the mapping does not fit the file."""
        return self.rows_rejected > 0 and self.alerts_inserted + self.alerts_already_there == 0


class _Loaded(NamedTuple):
    line: int
    alert: AlertDocument


@at_the_door
def load_alerts(
    db: AlertDatabase,
    path: Path,
    mapping: Mapping,
    *,
    until: datetime | None = None,
    reject_path: Path | None = None,
    batch_size: int = BATCH_SIZE,
    on_progress: Callable[[LoadReport], None] | None = None,
) -> LoadReport:
    """Load the alerts of the CSV or JSON Lines file `path` (gzipped when named .gz) into `alerts`.

    An alert whose `alert_id` is there already is left as it is and counted, so a load can be repeated or
    resumed. With `until` (a naive one is UTC) the file counts as it stood at that instant: rows after it are
    left out. Rows that cannot be used go to `reject_path`, by default NAME.rejects.jsonl in the working
    directory. `on_progress` is called for every `batch_size` rows or alerts.

    Raises InvalidInstantError for `until`, LoadError when the file or the reject file cannot be used,
    IndexConflictError when the collection cannot be indexed, and pymongo.errors.PyMongoError when the database fails; a
    repeated load then goes on.
    """
    until = None if until is None else as_utc(until)
    ensure_indexes(db)
    with RejectFile(reject_path or default_reject_path(path), path) as rejects, open_spool() as spool:
        load = _Load(db, rejects, until, batch_size, on_progress)
        rows = load.count(read_rows(path, mapping))
        reader = RowReader(mapping)
        if mapping.events is not None:
            first = mapping.starts_with_first_event
            load.insert(load.from_updates(rows, reader, spool, first=first))
        else:
            numbered = mapping.alert_id.content_hash is not None
            load.insert(load.from_rows(rows, reader, spool, numbered=numbered), None if numbered else spool)
        return load.report(reader)


class _Load:
    """One load under way: its counts, and the steps that rows take to the collection."""

    def __init__(
        self,
        db: AlertDatabase,
        rejects: RejectFile,
        until: datetime | None,
        batch_size: int,
        on_progress: Callable[[LoadReport], None] | None,
    ) -> None:
        self._db = db
        self._rejects = rejects
        self._until = until
        self._batch_size = batch_size
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._summary = Summary()
        self._rows_read = self._inserted = self._already_there = self._after_until = self._never_fired = 0

    def report(self, reader: RowReader | None = None) -> LoadReport:
        """The counts so far; at the end also what `reader` found in no row."""
        if reader is not None and self._summary.alerts:
            self._summary.columns_without_value = reader.columns_without_value
        return LoadReport(
            rows_read=self._rows_read,
            alerts_inserted=self._inserted,
            alerts_already_there=self._already_there,
            rows_rejected=self._rejects.rows,
            rows_after_until=self._after_until,
            never_fired=self._never_fired,
            reject_path=self._rejects.path,
            reject_reasons=self._rejects.reasons,
            summary=self._summary,
            seconds=time.monotonic() - self._started,
        )

    def count(self, rows: Iterator[Row | BadRow]) -> Iterator[Row]:
        """Count the rows and pass them on, the malformed ones to the reject file."""
        first = list(itertools.islice(rows, 1))
        # A file that cannot be loaded at all has been refused by now, and the rejects of the load before still stand.
        self._rejects.begin()
        for row in itertools.chain(first, rows):
            self._rows_read += 1
            if isinstance(row, Row):
                yield row
            else:
                self._rejects.add(row.line, row.reason, row.text, row.kind)
            if self._rows_read % self._batch_size == 0:
                self._tell()

    def from_rows(self, rows: Iterable[Row], reader: RowReader, spool: Spool, *, numbered: bool) -> Iterator[_Loaded]:
        """Each row as an alert of its own; `numbered` ids get the row's ordinal among those of the same id."""
        for row in rows:
            try:
                alert = reader.alert(row.values, self._until)
            except RowError as error:
                self._rejects.add(row.line, str(error), row.text, error.kind, error.value)
                continue
            if self._is_after_until(alert["timestamp"]):
                continue
            if numbered:
                alert["alert_id"] += f"-{spool.ordinal(alert['alert_id'])}"
            yield _Loaded(row.line, alert)

    def from_updates(self, rows: Iterable[Row], reader: RowReader, spool: Spool, *, first: bool) -> Iterator[_Loaded]:
        """Each id as one alert, standing as its updates up to `until` left it; an id that never fired is none."""
        for row in rows:
            try:
                event = reader.event(row.values)
                if self._is_after_until(event.time):
                    continue
                fields = reader.fields(row.values)
            except RowError as error:
                self._rejects.add(row.line, str(error), row.text, error.kind, error.value)
                continue
            if "timestamp" not in fields or not self._is_after_until(fields["timestamp"]):
                spool.add(fields["alert_id"], Update(row.line, event, bson.encode(fields)))
        for updates in spool.alerts():
            done = folded(updates, reader, first=first)
            if done.alert is not None:
                yield _Loaded(done.line, done.alert)
            elif done.fault is None:
                self._never_fired += 1
            else:
                text = json_util.dumps(done.fields)
                self._rejects.add(done.line, str(done.fault), text, done.fault.kind)

    def insert(self, alerts: Iterable[_Loaded], ids_seen: Spool | None = None) -> None:
        """Insert those alerts that are not there, a batch at a time; `ids_seen` finds ids that rows share."""
        waiting = iter(alerts)
        while batch := list(itertools.islice(waiting, self._batch_size)):
            self._summary.count(loaded.alert for loaded in batch)
            if ids_seen is not None:
                self._summary.share_id(ids_seen.seen_before([loaded.alert["alert_id"] for loaded in batch]))
            done = insert_missing(self._db, [loaded.alert for loaded in batch])
            self._inserted += done.inserted
            self._already_there += done.already_there
            for index, reason in done.refused:
                line, alert = batch[index]
                kind = "refused by MongoDB"
                self._rejects.add(line, f"MongoDB refuses it: {reason}", json_util.dumps(alert), kind, reason)
            self._tell()

    def _is_after_until(self, instant: datetime) -> bool:
        after = self._until is not None and instant > self._until
        self._after_until += after
        return after

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.report())
