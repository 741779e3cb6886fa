"""Lists, adds and ends maintenance windows, and snoozes one alert.

A window that was ended stays, with the time: a back-test of a day before still sees it.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from bson import ObjectId
from bson.errors import InvalidId
from pymongo.errors import DuplicateKeyError

from alert_pipelines.alerts import SourceType, find_alert
from alert_pipelines.errors import AlertPipelinesError, InvalidWindowError, WindowNotFoundError
from alert_pipelines.mongo.client import AlertDatabase, AlertDocument, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.publish import ChangeKind, FieldChange
from alert_pipelines.rules.store import MAINTENANCE_WINDOWS
from alert_pipelines.rules.validation import parse_window
from alert_pipelines.rules.windows import MaintenanceWindow, Span
from alert_pipelines.signature import UNSIGNED, Signature
from alert_pipelines.spelling import nearest

MAX_SNOOZE = timedelta(days=366)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class WindowState(StrEnum):
    """The state of a stored window at a time."""

    HOLDS = "holds"
    TO_COME = "to come"
    OVER = "over"
    NOT_VALID = "not valid"


class StoredWindow(NamedTuple):
    """A document of `maintenance_windows`: its id, how it stands, and the window, or why it is not valid.

    `span` is the one that holds, or the next to come.
    """

    window_id: str
    state: WindowState
    window: MaintenanceWindow | None
    span: Span | None = None
    problem: str | None = None


class WindowChange(NamedTuple):
    """One window of a file: how it stands to the collection, which fields differ, and whether it was written."""

    window_id: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...] = ()
    written: bool = False


class EndedWindow(NamedTuple):
    """A window that an end is asked for: how it stood, and since when it is ended, None for a dry run."""

    window_id: str
    state: WindowState
    ended_at: datetime | None


@at_the_door
def list_windows(db: AlertDatabase, *, as_of: datetime | None = None, with_over: bool = False) -> list[StoredWindow]:
    """The windows of the collection as they stand at `as_of` (None: the server's clock), those that hold first.

    Windows that are over are left out, unless `with_over`.
    """
    at = as_of or server_now(db)
    found = [_stored(document, at) for document in db[MAINTENANCE_WINDOWS].find()]
    order = list(WindowState)
    found.sort(key=lambda one: (order.index(one.state), one.span.start if one.span else at, one.window_id))
    return [one for one in found if with_over or one.state is not WindowState.OVER]


def warnings_of(windows: Iterable[MaintenanceWindow]) -> list[str]:
    """What is valid and hardly meant: a source that looks like a misspelling of one that the service knows."""
    known = [str(source) for source in SourceType]
    return [
        f"maintenance window {window.window_id}: no alert of the service has the source_type {source!r}; did you mean "
        f"{near!r}?"
        for window in windows
        for source in window.source_types or ()
        if source not in known and (near := nearest(source, known))
    ]


@at_the_door
def add_windows(db: AlertDatabase, windows: Iterable[MaintenanceWindow], *, dry_run: bool) -> list[WindowChange]:
    """Write the new and changed of `windows`, each known by its window_id; with `dry_run`, only say what that would be.

    Raises InvalidWindowError for a window without an id, or with one that several stored windows share.
    """
    given = list(windows)
    stored = [_stored_of_id(db, window) for window in given]
    return [_add(db, window, document, dry_run) for window, document in zip(given, stored, strict=True)]


@at_the_door
def end_window(
    db: AlertDatabase, window_id: str, *, dry_run: bool, signature: Signature = UNSIGNED
) -> list[EndedWindow]:
    """End every window of this id now: those that hold, and those to come. One without a window_id has its `_id`.

    Each keeps the `signature`. Windows that are over stay as they are. Raises WindowNotFoundError.
    """
    now = server_now(db)
    documents = list(
        db[MAINTENANCE_WINDOWS].find({"$or": [{"window_id": window_id}, {"_id": {"$in": _ids(window_id)}}]})
    )
    if not documents:
        raise WindowNotFoundError(
            f"no maintenance window {window_id!r} in {db.name}.{MAINTENANCE_WINDOWS}: `alert-pipelines windows list` "
            "names them"
        )
    ended = []
    for document in documents:
        stored = _stored(document, now)
        write = stored.state is not WindowState.OVER and not dry_run
        if write:
            fields = {"ended_at": now, "ended_by": signature.by, "end_reason": signature.reason}
            fields = {name: value for name, value in fields.items() if value}
            db[MAINTENANCE_WINDOWS].update_one({"_id": {"$eq": document["_id"]}}, {"$set": fields})
        ended.append(EndedWindow(stored.window_id, stored.state, now if write else None))
    return ended


def signed_windows(windows: Iterable[MaintenanceWindow], signature: Signature) -> list[MaintenanceWindow]:
    """The windows, with the signature where they name no author or no reason."""
    given = {"created_by": signature.by, "reason": signature.reason}
    return [
        window.model_copy(update={name: text for name, text in given.items() if text and not getattr(window, name)})
        for window in windows
    ]


def why_it_holds(window: MaintenanceWindow) -> str:
    """The reason of the window, by whom it was made, and by whom and why it was ended; empty if nobody said so."""
    by = f" (by {window.created_by})" if window.created_by else ""
    return f"{window.reason or ''}{by}{end_in_words(window)}".strip()


def end_in_words(window: MaintenanceWindow) -> str:
    """` (ended by NAME: REASON)`; empty if nobody said so."""
    ended = Signature(window.ended_by, window.end_reason).in_words
    return f" (ended{ended})" if ended else ""


@at_the_door
def snooze_alert(
    db: AlertDatabase, alert_id: str, duration: timedelta, *, reason: str, created_by: str
) -> MaintenanceWindow:
    """Leave one alert undecided from now on for `duration`: a maintenance window for it alone, which is returned.

    Raises AlertNotFoundError, SharedAlertIdError, InvalidWindowError.
    """
    if not timedelta(minutes=1) <= duration <= MAX_SNOOZE:
        raise InvalidWindowError(f"{duration} is not a valid duration: expected one minute to {MAX_SNOOZE.days} days")
    alert, now = find_alert(db, alert_id, ["source_type"]), server_now(db)
    source = alert.get("source_type")
    window = parse_window(
        {
            "window_id": f"SNOOZE-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
            **({"source_types": [source]} if isinstance(source, str) else {}),
            "field": "alert_id",
            "values": [alert_id],
            "from": now,
            "to": now + duration,
            "reason": reason,
            "created_by": created_by,
        }
    )
    add_windows(db, [window], dry_run=False)
    return window


def read_duration(text: str) -> timedelta:
    """A duration such as `90m`, `8h` or `2d`. Raises InvalidWindowError."""
    read = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text.strip())
    if read is None:
        raise InvalidWindowError(
            f"{text!r:.100} is not a valid duration: expected a whole number of minutes, hours or days, such as 90m, "
            "8h or 2d"
        )
    return timedelta(**{_UNITS[read[2]]: int(read[1])})


def _stored(document: Mapping[str, Any], at: datetime) -> StoredWindow:
    window_id = document.get("window_id")
    name = window_id if isinstance(window_id, str) else str(document["_id"])
    ended = document.get("ended_at")
    is_ended = isinstance(ended, datetime) and ended <= at
    try:
        window = parse_window(document)
    except AlertPipelinesError as error:
        state = WindowState.OVER if is_ended else WindowState.NOT_VALID
        return StoredWindow(name, state, None, problem=str(error))
    span = window.next_span(at)
    if span is None:
        return StoredWindow(name, WindowState.OVER, window)
    return StoredWindow(name, WindowState.HOLDS if span.start <= at else WindowState.TO_COME, window, span)


def _stored_of_id(db: AlertDatabase, window: MaintenanceWindow) -> AlertDocument | None:
    if window.window_id is None:
        raise InvalidWindowError("a maintenance window has no window_id: give each window a name")
    found = list(db[MAINTENANCE_WINDOWS].find({"window_id": window.window_id}).limit(2))
    if len(found) > 1:
        raise InvalidWindowError(
            f"several windows in {db.name}.{MAINTENANCE_WINDOWS} have the window_id {window.window_id!r}: end them, or "
            "choose another id"
        )
    return found[0] if found else None


def _add(db: AlertDatabase, window: MaintenanceWindow, stored: AlertDocument | None, dry_run: bool) -> WindowChange:
    name, after = str(window.window_id), window.model_dump(by_alias=True, exclude_none=True)
    if stored is None:
        written = not dry_run and _insert(db, name, after)
        return WindowChange(name, ChangeKind.NEW, written=written)
    before = {field: value for field, value in stored.items() if field != "_id"}
    fields = tuple(
        FieldChange(field, before.get(field), after.get(field))
        for field in dict.fromkeys([*before, *after])
        # Python takes 1 and true for equal.
        if repr(before.get(field)) != repr(after.get(field))
    )
    if not fields:
        return WindowChange(name, ChangeKind.SAME)
    compared = {field: {"$eq": value} for field, value in before.items()}
    unchanged = {"_id": {"$eq": stored["_id"]}, **compared}
    written = not dry_run and db[MAINTENANCE_WINDOWS].replace_one(unchanged, after).matched_count == 1
    return WindowChange(name, ChangeKind.CHANGED, fields, written)


def _insert(db: AlertDatabase, name: str, document: Mapping[str, Any]) -> bool:
    # Its name is also its `_id`: of two that are added at once under one name, the server takes one.
    try:
        db[MAINTENANCE_WINDOWS].insert_one({"_id": name, **document})
    except DuplicateKeyError:
        return False
    return True


def _ids(window_id: str) -> list[Any]:
    try:
        return [window_id, ObjectId(window_id)]
    except InvalidId:
        return [window_id]
