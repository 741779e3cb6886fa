"""Converts the rows of a file to alerts, by a mapping; rejects, skips and folds rows."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import bson
from bson import json_util

from alert_pipelines.loading.documents import RowReader
from alert_pipelines.loading.fold import Loaded, folded
from alert_pipelines.loading.mapping import Mapping
from alert_pipelines.loading.merge import Updates
from alert_pipelines.loading.readers.rows import BadRow, Row
from alert_pipelines.loading.rejects import Rejects
from alert_pipelines.loading.row_values import RowError
from alert_pipelines.loading.spool import Spool, Update


class Reading:
    """One pass over a file. Counts rows that did not become alerts."""

    def __init__(self, mapping: Mapping, until: datetime | None, rejects: Rejects, spool: Spool) -> None:
        self._mapping = mapping
        self._reader = RowReader(mapping)
        self._until = until
        self._rejects = rejects
        self._spool = spool
        self.after_until = 0
        self.never_fired = 0

    @property
    def columns_without_value(self) -> list[str]:
        """The columns of the mapping in which no row so far had a value."""
        return self._reader.values.columns_without_value

    def alerts(self, rows: Iterable[Row | BadRow]) -> Iterator[Loaded]:
        """Yield the alerts in their state at `until`; rows that cannot be used go to the rejects."""
        usable = self._usable(rows)
        return self._from_rows(usable) if self._mapping.events is None else self._from_updates(usable)

    def _usable(self, rows: Iterable[Row | BadRow]) -> Iterator[Row]:
        for row in rows:
            if isinstance(row, Row):
                yield row
            else:
                self._rejects.add(row)

    def _from_rows(self, rows: Iterable[Row]) -> Iterator[Loaded]:
        numbered = self._mapping.alert_id.content_hash is not None
        for row in rows:
            try:
                incoming = self._reader.alert(row.values, self._until)
            except RowError as error:
                self._reject(row, error)
                continue
            alert = incoming.alert
            if self._is_after_until(alert["timestamp"]):
                continue
            if numbered:
                alert["alert_id"] += f"-{self._spool.ordinal(alert['alert_id'])}"
            yield Loaded(row.line, alert["alert_id"], alert, incoming)

    def _from_updates(self, rows: Iterable[Row]) -> Iterator[Loaded]:
        for row in rows:
            try:
                event = self._reader.event(row.values)
                if self._is_after_until(event.time):
                    continue
                fields = self._reader.fields(row.values)
            except RowError as error:
                self._reject(row, error)
                continue
            if "timestamp" not in fields or not self._is_after_until(fields["timestamp"]):
                self._spool.add(fields["alert_id"], Update(row.line, event, bson.encode(fields)))
        first = self._mapping.starts_with_first_event
        for updates in self._spool.alerts():
            yield folded(updates, self._reader, first=first)

    def refuse(self, loaded: Loaded) -> None:
        """Count an incomplete alert: it never fired, or is rejected for its fault."""
        if loaded.fault is None:
            self.never_fired += 1
        else:
            assert isinstance(loaded.incoming, Updates)
            text = json_util.dumps([said for _, said in loaded.incoming.rows])
            self._rejects.add(BadRow(loaded.line, text, str(loaded.fault), loaded.fault.kind))

    def _reject(self, row: Row, error: RowError) -> None:
        self._rejects.add(BadRow(row.line, row.text, str(error), error.kind), error.value)

    def _is_after_until(self, timestamp: datetime) -> bool:
        after = self._until is not None and timestamp > self._until
        self.after_until += after
        return after
