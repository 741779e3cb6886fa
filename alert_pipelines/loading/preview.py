"""Converts the first rows of a file: for `load --check`, and to check a mapping before a load writes."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.mapping import Mapping
from alert_pipelines.loading.readers import BadRow, Row, read_rows
from alert_pipelines.loading.reading import Reading
from alert_pipelines.loading.rejects import RejectReason, Rejects
from alert_pipelines.loading.spool import open_spool
from alert_pipelines.loading.summary import Summary
from alert_pipelines.mongo.client import AlertDocument
from alert_pipelines.timestamps import as_utc

ROWS = 1_000
_MAX_CHARACTERS = 16_000_000
# Fewer alerts may be at midnight by chance, or because somebody tries out a mapping.
_ENOUGH = 20
_TIME_OF_DAY = re.compile(r"\s*\d{1,2}:\d\d(:\d\d(\.\d+)?)?\s*([AaPp]\.?[Mm]\.?)?\s*")

Rows: TypeAlias = Iterator[Row | BadRow]


class Sample(NamedTuple):
    """The first rows of a file, whether they are all rows, and an iterator over all rows.

    `broken` is the error that ends the file after these rows, or None.
    """

    rows: list[Row | BadRow]
    is_whole: bool
    all: Rows
    broken: LoadError | None = None


@dataclass(frozen=True)
class Preview:
    """The result for the first rows of a file."""

    rows_read: int
    is_whole_file: bool
    alerts: list[AlertDocument]
    rows_rejected: int
    reject_reasons: list[RejectReason]
    summary: Summary
    fault: str | None
    """Why a load would not start, or None."""
    broken: str | None
    """Why a load would end after these rows, or None."""


def take_sample(rows: Rows) -> Sample:
    """Read the first rows. An error of the file after them is raised by the iterator over all rows."""
    taken: list[Row | BadRow] = []
    characters = 0
    try:
        for row in rows:
            taken.append(row)
            characters += len(row.text)
            if len(taken) == ROWS or characters > _MAX_CHARACTERS:
                return Sample(taken, False, itertools.chain(taken, rows))
    except LoadError as error:
        if not taken:
            raise
        return Sample(taken, False, itertools.chain(taken, _raise(error)), error)
    return Sample(taken, True, iter(taken))


def _raise(error: LoadError) -> Rows:
    raise error
    yield


def preview(path: Path, mapping: Mapping, until: datetime | None = None) -> Preview:
    """Convert the first rows of `path`; writes nothing. Raises LoadError if the file cannot be used."""
    return preview_of(take_sample(read_rows(path, mapping)), mapping, None if until is None else as_utc(until))


def preview_of(sample: Sample, mapping: Mapping, until: datetime | None) -> Preview:
    """Return the result for the rows of `sample`, and why a load of the file must not start, if so."""
    rejects, summary = Rejects(), Summary()
    with open_spool() as spool:
        reading = Reading(mapping, until, rejects, spool)
        alerts = []
        for loaded in reading.alerts(sample.rows):
            if loaded.alert is None:
                reading.refuse(loaded)
            else:
                alerts.append(loaded.alert)
    summary.count(alerts)
    if alerts:
        summary.columns_without_value = reading.columns_without_value
    well_formed = [row for row in sample.rows if isinstance(row, Row)]
    others = len(alerts) + reading.after_until + reading.never_fired
    fault = None
    if well_formed and rejects.rows and not others and not sample.is_whole:
        reasons = "\n".join(f"  {reason}" for reason in rejects.reasons)
        fault = f"none of the first {len(sample.rows):,} rows can be used:\n{reasons}\nCorrect the mapping."
    elif _all_at_midnight(alerts, mapping):
        fault = _midnight(len(alerts), well_formed)
    broken = None if sample.broken is None else str(sample.broken)
    return Preview(len(sample.rows), sample.is_whole, alerts, rejects.rows, rejects.reasons, summary, fault, broken)


def _all_at_midnight(alerts: Sequence[AlertDocument], mapping: Mapping) -> bool:
    if len(alerts) < _ENOUGH or mapping.dates.whole_days:
        return False
    zone = ZoneInfo(mapping.dates.zone)
    return all(alert["timestamp"].astimezone(zone).time() == time.min for alert in alerts)


def _midnight(alerts: int, rows: Sequence[Row]) -> str:
    columns = [column for column in rows[0].values if all(_may_be_time(row, column) for row in rows)]
    example = f" (the time may be in {' or '.join(map(repr, columns))})" if columns else ""
    return (
        f"the first {alerts:,} alerts would all be at midnight{example}. If the time of day is in another column, "
        'write timestamp: {template: "{date} {time}", format: …}. If the file has days only, write '
        "dates: {whole_days: true}"
    )


def _may_be_time(row: Row, column: str) -> bool:
    value = row.values.get(column)
    return isinstance(value, str) and _TIME_OF_DAY.fullmatch(value) is not None
