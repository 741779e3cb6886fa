"""Loads alerts from a file, in batches. A load can be repeated.

`reading` decides what becomes of a row; this module inserts and counts alerts.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TextIO

from bson import json_util

from alert_pipelines.alerts import ensure_indexes
from alert_pipelines.errors import LoadError
from alert_pipelines.loading.fold import Loaded
from alert_pipelines.loading.insert import BATCH_SIZE, insert_new
from alert_pipelines.loading.mapping import Mapping
from alert_pipelines.loading.preview import preview_of, take_sample
from alert_pipelines.loading.readers import BadRow, Row, read_rows
from alert_pipelines.loading.readers.lines import share_read
from alert_pipelines.loading.reading import Reading
from alert_pipelines.loading.rejects import RejectFile, RejectReason, default_reject_path
from alert_pipelines.loading.spool import Spool, open_spool
from alert_pipelines.loading.summary import Summary
from alert_pipelines.loading.update import find_stored, update_stored
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.timestamps import as_utc


@dataclass(frozen=True)
class LoadReport:
    """The counts of a load, or of its part so far.

    rows_read = alerts_inserted + alerts_already_there + rows_rejected + rows_after_until, except for event logs, where
    many rows make one alert. `never_fired` counts the ids of a log that were only ever closed. Of the alerts already
    there, `alerts_updated` were updated from the file, `alerts_differ` differ and were not, and `decisions_kept` kept a
    decision made here that the file contradicts. `summary` covers inserted and existing alerts. `reject_path` is None
    if nothing was rejected.
    """

    rows_read: int
    alerts_inserted: int
    alerts_already_there: int
    alerts_updated: int
    alerts_differ: int
    decisions_kept: int
    rows_rejected: int
    rows_after_until: int
    never_fired: int
    reject_path: Path | None
    reject_reasons: list[RejectReason]
    summary: Summary
    seconds: float
    share: float | None
    """The share of the file that is read; None if its size is not known."""

    def progress(self) -> str:
        """Return the progress of the load as one line."""
        rate = self.rows_read / self.seconds if self.seconds else 0
        share = "" if self.share is None else f", {self.share:.0%} of the file"
        return f"{self.rows_read:,} rows read ({rate:,.0f} a second{share}), {self.alerts_inserted:,} alerts inserted"

    @property
    def nothing_usable(self) -> bool:
        """Whether rows were rejected and none became an alert, so the mapping does not fit the file."""
        return self.rows_rejected > 0 and self.alerts_inserted + self.alerts_already_there == 0


_COUNTED = ("rows_read", "alerts_inserted", "alerts_already_there", "alerts_updated", "alerts_differ", "decisions_kept")
"""The fields of a LoadReport that a load counts itself."""


class _Written(NamedTuple):
    """The result of a batch: counts of _COUNTED; `incomplete` alerts lack a required field."""

    counts: Counter[str]
    refused: list[tuple[int, AlertDocument, str]]
    incomplete: list[Loaded]


@at_the_door
def load_alerts(
    db: AlertDatabase,
    path: Path,
    mapping: Mapping,
    *,
    until: datetime | None = None,
    reject_path: Path | None = None,
    batch_size: int = BATCH_SIZE,
    update: bool = False,
    on_progress: Callable[[LoadReport], None] | None = None,
) -> LoadReport:
    """Load alerts from a file, in any format that a mapping supports, gzipped or not.

    Existing alerts are not changed, but counted, so a load can be repeated or resumed.

    Args:
        db: The database of the alerts.
        path: The file.
        mapping: The mapping of columns to fields.
        until: Load the file as it was at this time, without later rows. UTC if it has no zone.
        reject_path: The file for rejected rows. None: NAME.rejects.jsonl in the working directory.
        batch_size: Alerts per write.
        update: Whether to update existing alerts. Decisions by rules and people are kept.
        on_progress: Called for every `batch_size` rows or alerts.

    Returns:
        The counts of the load, and the reasons for rejected rows.

    Raises:
        InvalidTimestampError: `until` is not a valid time.
        LoadError: The file or the reject file cannot be used, or the mapping does not fit the first rows.
        IndexConflictError: The collection cannot be indexed.
        PyMongoError: The database failed. Repeat the load to continue it.

    Example:
        >>> from pathlib import Path
        >>> from alert_pipelines.loading import load_mapping
        >>> load_alerts(db, Path("alerts.csv"), load_mapping(Path("mapping.yaml"))).alerts_inserted
        3
    """
    until = None if until is None else as_utc(until)
    with RejectFile(reject_path or default_reject_path(path), path) as rejects, open_spool() as spool:
        opened: list[TextIO] = []
        sample = take_sample(read_rows(path, mapping, opened.append))
        if fault := preview_of(sample, mapping, until).fault:
            raise LoadError(f"{path}: {fault}\nNothing was loaded.")
        # Not earlier: if a file cannot be loaded at all, the rejects of the load before are kept.
        rejects.begin()
        ensure_indexes(db)
        reading = Reading(mapping, until, rejects, spool)
        load = _Load(db, rejects, reading, batch_size, on_progress, update, next(iter(opened), None))
        shares_ids = mapping.events is None and mapping.alert_id.content_hash is None
        load.load(reading.alerts(load.count(sample.all)), spool if shares_ids else None)
        return load.final_report()


@dataclass
class _Load:
    """A load in progress: its counts, and the steps from alerts to the collection."""

    db: AlertDatabase
    rejects: RejectFile
    reading: Reading
    batch_size: int
    on_progress: Callable[[LoadReport], None] | None
    update: bool
    stream: TextIO | None
    started: float = field(default_factory=time.monotonic)
    summary: Summary = field(default_factory=Summary)
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_COUNTED, 0)))

    def report(self) -> LoadReport:
        """Return the counts so far."""
        return LoadReport(
            **self.counts,
            rows_rejected=self.rejects.rows,
            rows_after_until=self.reading.after_until,
            never_fired=self.reading.never_fired,
            reject_path=self.rejects.path,
            reject_reasons=self.rejects.reasons,
            summary=self.summary,
            seconds=time.monotonic() - self.started,
            share=None if self.stream is None else share_read(self.stream),
        )

    def final_report(self) -> LoadReport:
        """Return the counts, with the columns that had no value in any row."""
        if self.summary.alerts:
            self.summary.columns_without_value = self.reading.columns_without_value
        return self.report()

    def count(self, rows: Iterable[Row | BadRow]) -> Iterator[Row | BadRow]:
        """Count the rows and pass them on."""
        for row in rows:
            self.counts["rows_read"] += 1
            yield row
            if self.counts["rows_read"] % self.batch_size == 0:
                self._tell()

    def load(self, alerts: Iterable[Loaded], ids_seen: Spool | None = None) -> None:
        """Write the alerts batch by batch; `ids_seen` finds ids that several rows have.

        While the server works on a batch, the next one is read.
        """
        waiting = iter(alerts)
        written: Future[_Written] | None = None
        with ThreadPoolExecutor(max_workers=1) as writer:
            while batch := list(itertools.islice(waiting, self.batch_size)):
                self.summary.count(loaded.alert for loaded in batch if loaded.alert is not None)
                before, written = written, writer.submit(self._write, self._first_of_each_id(batch, ids_seen))
                if before is not None:
                    self._count(before.result())
        if written is not None:
            self._count(written.result())

    def _first_of_each_id(self, batch: list[Loaded], ids_seen: Spool | None) -> list[Loaded]:
        if ids_seen is None:
            return batch
        repeated = set(ids_seen.seen_before([loaded.alert_id for loaded in batch]))
        self.summary.share_id([batch[position].alert_id for position in sorted(repeated)])
        self.counts["alerts_already_there"] += len(repeated)
        return [loaded for position, loaded in enumerate(batch) if position not in repeated]

    def _write(self, batch: list[Loaded]) -> _Written:
        """Update existing alerts and insert the others. Counting is left to the thread that reads."""
        stored = find_stored(self.db, [loaded.alert_id for loaded in batch])
        there = {loaded.alert_id: loaded for loaded in batch if loaded.alert_id in stored}
        new = [loaded for loaded in batch if loaded.alert_id not in stored]
        whole = [(loaded.line, loaded.alert) for loaded in new if loaded.alert is not None]
        incoming = {alert_id: loaded.incoming for alert_id, loaded in there.items()}
        updated = update_stored(self.db, incoming, stored, write=self.update)
        refused = [(there[alert_id].line, stored[alert_id], reason) for alert_id, reason in updated.refused]
        inserted = insert_new(self.db, [alert for _, alert in whole])
        refused += [(*whole[index], reason) for index, reason in inserted.refused]
        counts = Counter(
            alerts_inserted=inserted.inserted,
            alerts_already_there=len(there) - len(updated.refused) + inserted.already_there,
            alerts_updated=updated.written,
            alerts_differ=updated.differing,
            decisions_kept=updated.decisions_kept,
        )
        return _Written(counts, refused, [loaded for loaded in new if loaded.alert is None])

    def _count(self, done: _Written) -> None:
        self.counts.update(done.counts)
        for loaded in done.incomplete:
            self.reading.refuse(loaded)
        for line, alert, reason in done.refused:
            told = f"MongoDB refused the alert: {reason}"
            self.rejects.add(BadRow(line, json_util.dumps(alert), told, "refused by MongoDB"), reason)
        self._tell()

    def _tell(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.report())
