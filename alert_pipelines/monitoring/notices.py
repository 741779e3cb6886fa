"""Decides what to report: failed and blocked scans, missed scans, decisions of rules with `notify`, the daily digest.

It reads the job records. Each receiver gets each report once. `notifications` sends messages.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from pymongo import DESCENDING

from alert_pipelines.job_records import COLLECTION, COMPLETED, FAILED, SCANS
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.monitoring.notifications import Message
from alert_pipelines.monitoring.rule_news import ScanNews, headline, lines_of, rule_news
from alert_pipelines.scanner.result import ALLOW_SCAN, stored_violations

REPEAT_AFTER = timedelta(hours=1)
"""A fault of every scan is reported again after this time, with the number of scans."""

# The day's last scan has ended then, and daily_report_schedule has made its page.
_DIGEST_AFTER_MIDNIGHT = timedelta(minutes=20)
# A record may become visible a little after its end.
_OVERLAP = timedelta(minutes=10)
_MAX_READ = 1000
_MAX_LISTED = 5
_LONGEST_ERROR = 500
_FAILURE = "failure"


class Blocked(NamedTuple):
    """What a limit blocked: closes or escalations (`decision`) of a rule or of the whole scan."""

    rule_or_scan: str
    decision: str

    @property
    def kind(self) -> str:
        """The kind of report: a repeated one of the same kind waits."""
        # Stored in the sensor's cursor: with another word, everything would be reported again after an upgrade.
        escalations = "" if self.decision == "close" else f", {self.decision}"
        return f"stopped{escalations}: {self.rule_or_scan}"

    @property
    def title(self) -> str:
        """The title of a message about it."""
        whose = "a whole scan" if self.rule_or_scan == ALLOW_SCAN else f"rule {self.rule_or_scan!r}"
        return f"{whose} was blocked by a limit{'' if self.decision == 'close' else ' of escalations'}"


class FailedScan(NamedTuple):
    """A scan that failed; `blocked` has the messages of the limits that it exceeded."""

    job_id: str
    run_id: str | None
    ended_at: datetime
    closed: int
    escalated: int
    error: str
    blocked: dict[Blocked, str]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of report: a repeated one of the same kind waits, another kind does not."""
        return frozenset(one.kind for one in self.blocked) or frozenset({_FAILURE})


class Digest(BaseModel):
    """The digest of `day`, in UTC: a title, and a text of a few lines. `reports.digest` writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date
    title: str
    text: str


class DeliveryState(BaseModel):
    """The reports that one receiver has: all failed scans that ended before `since`, and those of `jobs`.

    `jobs` has the end of each scan by its job id, `last` the time of the last report of each kind. `decided` and
    `decided_since` are the same for decisions, `digest_of` is the day of the last digest. These are None for receivers
    of versions without such reports.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: datetime
    jobs: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    stale: bool = False
    decided: dict[str, datetime] = {}
    decided_since: datetime | None = None
    digest_of: date | None = None


class News(NamedTuple):
    """The reports that a receiver does not have yet.

    `failed` and `decided` are scans, None if the records could not be read. `stale` says since when no scan completes.
    """

    failed: list[FailedScan] | None
    decided: list[ScanNews] | None
    stale: str | None = None
    digest: Digest | None = None


@at_the_door
def find_news(db: AlertDatabase, state: DeliveryState, now: datetime) -> News:
    """Return failed scans and decisions of rules with `notify` that this receiver does not have yet."""
    decided_since = (state.decided_since or state.since) - _OVERLAP
    return News(failed_scans(db, state, now), rule_news(db, decided_since, state.decided, now))


@at_the_door
def failed_scans(db: AlertDatabase, state: DeliveryState, now: datetime) -> list[FailedScan]:
    """Return the failed scans that this receiver does not have yet, newest first, at most 1000."""
    query = {
        **SCANS,
        "status": FAILED,
        "completed_at": {"$gte": state.since - _OVERLAP, "$lte": now},
        "job_id": {"$nin": [*state.jobs]},
    }
    fields = {"errors": {"$slice": 1}, "stats": 1, "job_id": 1, "run_id": 1, "completed_at": 1} | dict.fromkeys(
        ("alerts_closed", "alerts_escalated"), 1
    )
    found = db[COLLECTION].find(query, fields).sort("completed_at", DESCENDING).limit(_MAX_READ)
    return [_failed(record) for record in found]


@at_the_door
def last_completed(db: AlertDatabase, since: datetime) -> datetime | None:
    """Return when the newest scan that completed at `since` or later ended; None if none did."""
    query = {**SCANS, "status": COMPLETED, "completed_at": {"$gte": since}}
    record = db[COLLECTION].find_one(query, {"completed_at": 1}, sort=[("completed_at", DESCENDING)])
    return record["completed_at"] if record else None


def build_message(
    state: DeliveryState, news: News, now: datetime, ui_url: str | None
) -> tuple[Message | None, DeliveryState]:
    """Return the message, if any, that a receiver in `state` gets now, and its state afterwards."""
    read_until = state.since if news.failed is None else now
    failed = news.failed or ()
    due = [scan for scan in failed if any(_is_due(state, kind, now) for kind in scan.kinds)]
    due_ids = {scan.job_id for scan in due}
    since = min((scan.ended_at for scan in failed if scan.job_id not in due_ids), default=read_until)
    known = state.jobs | {scan.job_id: scan.ended_at for scan in due}
    after = DeliveryState(
        since=since,
        jobs={job_id: ended_at for job_id, ended_at in known.items() if ended_at >= since - _OVERLAP},
        last={kind: at for kind, at in state.last.items() if not _is_due(state, kind, now)}
        | {kind: now for scan in due for kind in scan.kinds},
        stale=news.stale is not None,
        digest_of=news.digest.day if news.digest and lacks_digest(state, news.digest.day) else state.digest_of,
        **_decided_after(state, news.decided, now),
    )
    parts = [
        *_of_staleness(state, news.stale),
        *_of_decisions(news.decided or (), ui_url),
        *_of_blocked(due, ui_url),
        *_of_failures([scan for scan in due if not scan.blocked], ui_url),
        *_of_day(state, news.digest),
    ]
    if not parts:
        return None, after
    title = f"Alert scanner: {'; '.join(title for title, _ in parts)}"
    return Message(title, "\n\n".join(text for _, text in parts)), after


def day_due(now: datetime) -> date:
    """Return the last day whose digest is due; `now` is in UTC."""
    return (now - _DIGEST_AFTER_MIDNIGHT).date() - timedelta(days=1)


def lacks_digest(state: DeliveryState, day: date) -> bool:
    """Return whether a receiver in `state` has neither the digest of `day` nor that of a later day."""
    return state.digest_of is None or state.digest_of < day


def _decided_after(state: DeliveryState, decided: Sequence[ScanNews] | None, now: datetime) -> dict[str, Any]:
    if decided is None:
        return {"decided": state.decided, "decided_since": state.decided_since}
    known = state.decided | {scan.job_id: scan.ended_at for scan in decided}
    kept = {job_id: ended_at for job_id, ended_at in known.items() if ended_at >= now - _OVERLAP}
    return {"decided": kept, "decided_since": now}


def _is_due(state: DeliveryState, kind: str, now: datetime) -> bool:
    return kind not in state.last or now - state.last[kind] >= REPEAT_AFTER


def _of_staleness(state: DeliveryState, stale: str | None) -> Iterator[tuple[str, str]]:
    if stale and not state.stale:
        yield "no scan completes", stale
    elif state.stale and not stale:
        yield "scans complete again", "Scans complete again."


def _of_day(state: DeliveryState, digest: Digest | None) -> Iterator[tuple[str, str]]:
    if digest and lacks_digest(state, digest.day):
        yield digest.title, digest.text


def _of_decisions(scans: Sequence[ScanNews], ui_url: str | None) -> Iterator[tuple[str, str]]:
    if not scans:
        return
    texts = ["\n".join([f"{_name(scan, ui_url)}:", *lines_of(scan)]) for scan in scans[:_MAX_LISTED]]
    if len(scans) > _MAX_LISTED:
        earlier = scans[_MAX_LISTED:]
        texts.append(
            f"… and {_scans(len(earlier))} before that, since {_text(earlier[-1].ended_at)}: {headline(earlier)}."
        )
    yield headline(scans), "\n\n".join(texts)


def _of_blocked(scans: Iterable[FailedScan], ui_url: str | None) -> Iterator[tuple[str, str]]:
    by_what: dict[Blocked, list[FailedScan]] = {}
    for scan in scans:
        for one in scan.blocked:
            by_what.setdefault(one, []).append(scan)
    for one, blocked_scans in by_what.items():
        newest = blocked_scans[0]
        more = f" The same happened in {_scans(len(blocked_scans) - 1)} before." if len(blocked_scans) > 1 else ""
        yield one.title, f"{_name(newest, ui_url)}: {newest.blocked[one]}{more}"


def _of_failures(scans: Sequence[FailedScan], ui_url: str | None) -> Iterator[tuple[str, str]]:
    if not scans:
        return
    lines = [
        f"{_name(scan, ui_url)} closed {scan.closed} and escalated {scan.escalated} alerts, then: {scan.error}"
        for scan in scans[:_MAX_LISTED]
    ]
    if len(scans) > _MAX_LISTED:
        lines.append(f"… and {len(scans) - _MAX_LISTED} more, since {_text(scans[-1].ended_at)}.")
    yield f"{_scans(len(scans))} failed", "\n".join([*lines, "The next scan does the rest."])


def _name(scan: FailedScan | ScanNews, ui_url: str | None) -> str:
    page = f"{ui_url}/runs/{scan.run_id}" if ui_url else scan.run_id
    run = f", Dagster run {page}" if scan.run_id else ""
    return f"{scan.job_id} ({_text(scan.ended_at)}{run})"


def _text(timestamp: datetime) -> str:
    return timestamp.isoformat(timespec="seconds")


def _scans(number: int) -> str:
    return "1 scan" if number == 1 else f"{number} scans"


def _failed(record: dict[str, Any]) -> FailedScan:
    # Anybody may edit a record; an invalid field must not prevent other reports.
    errors, stats = record.get("errors"), record.get("stats")
    return FailedScan(
        job_id=str(record.get("job_id")),
        run_id=record.get("run_id"),
        ended_at=record["completed_at"],
        closed=record.get("alerts_closed") or 0,
        escalated=record.get("alerts_escalated") or 0,
        error=str(errors[0])[:_LONGEST_ERROR]
        if isinstance(errors, list) and errors
        else "its job record has no error.",
        blocked={Blocked(one.blocked, one.decision): one.message for one in stored_violations(stats)},
    )
