"""Folds the updates of one id into one alert."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from alert_pipelines.alerts import PENDING
from alert_pipelines.loading.documents import RowReader
from alert_pipelines.loading.events import AlertState, Event
from alert_pipelines.loading.merge import Snapshot, Updates
from alert_pipelines.loading.row_values import RowError
from alert_pipelines.loading.spool import Update
from alert_pipelines.mongo.client import AlertDocument

_IN_ALL_ROWS = " in all rows of its id"


class Loaded(NamedTuple):
    """One alert of a file, with the line of its row, or of its last update.

    `alert` is None if it is incomplete (then `fault` is set) or never fired. `incoming` may still change a stored one.
    """

    line: int
    alert_id: str
    alert: AlertDocument | None
    incoming: Snapshot | Updates
    fault: RowError | None = None


def folded(updates: Iterator[Update], reader: RowReader, *, first: bool) -> Loaded:
    """Fold updates, in order of time, into an alert: fields that a later update lacks keep their value.

    With `first`, the alert starts with the first update that does not close it; without one, it never fired.
    """
    fields: dict[str, Any] = {"metadata": {}}
    events: list[Event] = []
    incoming = Updates([])
    line = 0
    for update in updates:
        said = update.fields()
        fields = {**fields, **said, "metadata": {**fields["metadata"], **said["metadata"]}}
        line = update.line
        incoming.rows.append((update.event, said))
        if events or not first or update.event.status in PENDING:
            events.append(update.event)
    if not events:
        return Loaded(line, fields["alert_id"], None, incoming)
    if first:
        fields["timestamp"] = events[0].time
    try:
        alert = reader.complete(fields, _IN_ALL_ROWS)
    except RowError as error:
        return Loaded(line, fields["alert_id"], None, incoming, error)
    alert_state = AlertState(events[0].time)
    for event in events:
        alert_state.apply(event)
    return Loaded(line, fields["alert_id"], alert_state.of(alert), incoming)
