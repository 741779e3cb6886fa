"""The sensor that sends notifications. `notices` decides what is sent, `notifications` sends it.

A separate sensor, in a separate thread (dagster.yaml), so that a receiver that hangs keeps no stalled scan from being
failed. Its cursor holds what each receiver was told: one that is down gets one message when it is back, no other is
told twice. It holds the digest of the day as well, which is made once however often a receiver is tried.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, sensor
from pydantic import BaseModel, ConfigDict, ValidationError
from pymongo.errors import PyMongoError

from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import location_of_sensor, own_schedule
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.scan.freshness import stale_after
from alert_pipelines.defs.scan.runs import ThisCopy, busy_scan
from alert_pipelines.defs.scan.schedule import AUTO_CLOSE_SCHEDULE
from alert_pipelines.errors import AlertPipelinesError, NotificationError
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.monitoring.notices import (
    DeliveryState,
    Digest,
    News,
    build_message,
    day_due,
    find_news,
    lacks_digest,
    last_completed,
)
from alert_pipelines.monitoring.notifications import Message, Receiver, deliver, receivers_of
from alert_pipelines.reports.digest import day_digest
from alert_pipelines.settings import NOTIFY_VARIABLE, read_settings

_LONGEST_FAULT = 500

_log = logging.getLogger(__name__)


class Cursor(BaseModel):
    """What the sensor remembers from tick to tick; `receivers` in the order of the setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    began: datetime
    completed: datetime | None = None
    receivers: tuple[DeliveryState, ...] = ()
    digest: Digest | None = None


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description=f"Notifies the receivers in {NOTIFY_VARIABLE} of failed scans, missed scans, blocked closes and "
    "escalations, and decisions of rules with `notify`. Sends a digest once a day.",
)
def notification_sensor(context: SensorEvaluationContext, mongo: MongoResource, names: Names) -> SensorResult:
    """Tell each receiver what it was not told yet; one that cannot be reached is tried again at the next tick."""
    settings = read_settings()
    receivers = receivers_of(settings.notify_urls)
    if not receivers:
        return SensorResult(skip_reason=f"{NOTIFY_VARIABLE} is not set: no notifications are sent.", cursor="")
    cursor = _cursor(context.cursor, datetime.now(UTC), len(receivers))
    seen = _look(cursor, ThisCopy(context.instance, location_of_sensor(context), names), mongo)
    answers = [
        build_message(state, news, seen.now, settings.ui_url)
        for state, news in zip(cursor.receivers, seen.news, strict=True)
    ]
    messages = {
        receiver: message for receiver, (message, _) in zip(receivers, answers, strict=True) if message is not None
    }
    faults = deliver(messages)
    for fault in faults.values():
        _log.warning("%s", fault)
    after = Cursor(
        began=cursor.began,
        completed=seen.completed,
        digest=seen.digest,
        receivers=tuple(
            before if receiver in faults else state
            for receiver, before, (_, state) in zip(receivers, cursor.receivers, answers, strict=True)
        ),
    )
    return SensorResult(skip_reason=_in_words(messages, faults), cursor=after.model_dump_json())


class _Seen(NamedTuple):
    """What there is to tell at one tick; `news` by receiver."""

    now: datetime
    completed: datetime | None
    digest: Digest | None
    news: Sequence[News]


def _look(cursor: Cursor, copy: ThisCopy, mongo: MongoResource) -> _Seen:
    fault: Exception | None = None
    now, completed, digest = datetime.now(UTC), cursor.completed, cursor.digest
    news = [News(failed=None, decided=None)] * len(cursor.receivers)
    try:
        with mongo.open() as db:
            now, completed = server_now(db), last_completed(db, cursor.began)
            news = [find_news(db, state, now) for state in cursor.receivers]
            digest = _digest(cursor, db, day_due(now), copy.names)
    except (AlertPipelinesError, PyMongoError) as error:
        # That, too, has to be told, and Dagster knows whether scans are due.
        fault = error
    after = cursor.model_copy(update={"completed": completed})
    stale = _stale(copy, after, now, fault)
    return _Seen(now, completed, digest, [one._replace(stale=stale, digest=digest) for one in news])


def _digest(cursor: Cursor, db: AlertDatabase, day: date, names: Names) -> Digest | None:
    """The digest of `day`, made once and then that of the cursor; None if no receiver lacks it."""
    if not any(lacks_digest(state, day) for state in cursor.receivers):
        return None
    if cursor.digest and cursor.digest.day == day:
        return cursor.digest
    return day_digest(db, day, ui_url=read_settings().ui_url, report="/".join(names.key("daily_report").path))


def _stale(copy: ThisCopy, cursor: Cursor, now: datetime, fault: Exception | None) -> str | None:
    """That no scan completes although the schedule is on, and what is known of the cause; None while all is well."""
    settings = read_settings()
    window = stale_after(settings)
    state = own_schedule(copy.instance, copy.own, copy.names.name(AUTO_CLOSE_SCHEDULE))
    if window is None or (state and not state.is_running):
        return None
    started = datetime.fromtimestamp(state.started_at, UTC) if state and state.started_at else cursor.began
    since = max(cursor.began, started, cursor.completed or cursor.began)
    if now < since + window:
        return None
    what = (
        f"No scan has completed since {since.isoformat(timespec='seconds')}, and the schedule ({settings.cron}) is on."
    )
    busy = busy_scan(copy)
    causes = [
        f" The job records cannot be read: {str(fault)[:_LONGEST_FAULT]}" if fault else "",
        f" Dagster run {busy.run_id} is {busy.status.value}." if busy else "",
    ]
    return "".join([what, *causes])


def _cursor(text: str | None, now: datetime, receivers: int) -> Cursor:
    """The cursor with a place for each receiver; whoever is new is told of what happens from now on."""
    try:
        cursor = Cursor.model_validate_json(text) if text else Cursor(began=now)
    except ValidationError as error:
        _log.warning("The cursor cannot be read and starts again: %s", error)
        cursor = Cursor(began=now)
    known = cursor.receivers[:receivers]
    added = (DeliveryState(since=now, digest_of=day_due(now)),) * (receivers - len(known))
    return cursor.model_copy(update={"receivers": (*known, *added)})


def _in_words(messages: Mapping[Receiver, Message], faults: Mapping[Receiver, NotificationError]) -> str:
    sent = [f"Sent to {receiver}: {message.title}." for receiver, message in messages.items() if receiver not in faults]
    failed = [f"Not sent, to be retried at the next tick: {fault}." for fault in faults.values()]
    return " ".join([*sent, *failed]) or "Nothing to send."
