"""The updates of one id, folded into the alert that they leave."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from alert_pipelines.alerts import PENDING
from alert_pipelines.loading.documents import RowReader
from alert_pipelines.loading.events import AlertState, Event
from alert_pipelines.loading.merge import Updates
from alert_pipelines.loading.row_values import RowError
from alert_pipelines.loading.spool import Update
from alert_pipelines.mongo.client import AlertDocument

_IN_ALL_ROWS = " in all rows of its id"


class Folded(NamedTuple):
    """An alert, the line of its last update, and all that was told of it; no alert: it has a fault, or never fired."""

    line: int
    alert: AlertDocument | None
    incoming: Updates
    fields: dict[str, Any]
    fault: RowError | None = None


def folded(updates: Iterator[Update], reader: RowReader, *, first: bool) -> Folded:
    """Fold the updates, in order of time: a field that a later one does not say stays as an earlier one said.

    With `first` the alert starts with the first update that is not a closing, and never fired without one.
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
        return Folded(line, None, incoming, fields)
    if first:
        fields["timestamp"] = events[0].time
    try:
        alert = reader.complete(fields, _IN_ALL_ROWS)
    except RowError as error:
        return Folded(line, None, incoming, fields, error)
    alert_state = AlertState(events[0].time)
    for event in events:
        alert_state.apply(event)
    return Folded(line, alert_state.of(alert), incoming, fields)
