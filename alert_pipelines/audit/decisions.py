"""The decisions about one alert or by one job, read from the histories of the alerts."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from alert_pipelines.alerts import COLLECTION, DecisionTally, find_alert, tally_decisions
from alert_pipelines.errors import JobNotFoundError
from alert_pipelines.job_model import JOB_RECORDS
from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.store import rule_text


class PastDecision(NamedTuple):
    """One automatic decision about one alert, with the text of its rule as it was then (None where unknown)."""

    alert_id: str
    entry: dict[str, Any]
    rule: dict[str, Any] | None


@at_the_door
def decisions_of_alert(db: AlertDatabase, alert_id: str) -> list[PastDecision]:
    """Every automatic decision and undo about `alert_id`, oldest first.

    Raises AlertNotFoundError, SharedAlertIdError.
    """
    history = find_alert(db, alert_id, ["state_history"]).get("state_history")
    entries = history if isinstance(history, list) else []
    rule_of = _rule_texts(db)
    return [PastDecision(alert_id, entry, rule_of(entry)) for entry in entries if is_automatic(entry)]


def is_automatic(entry: Any) -> bool:
    """Whether a job left the history entry, also one of the older service, which writes no job id."""
    return isinstance(entry, dict) and ("job_id" in entry or entry.get("triggered_by") == "system")


@at_the_door
def tally_of_job(db: AlertDatabase, job_id: str) -> list[DecisionTally]:
    """How many alerts `job_id` decided, by rule and source. Raises JobNotFoundError."""
    if db[JOB_RECORDS].find_one({"job_id": {"$eq": job_id}}, {"_id": 1}) is None:
        raise JobNotFoundError(f"no job record {job_id!r} in {db.name}.{JOB_RECORDS}: `jobs list` names them")
    return tally_decisions(db, job_id)


@at_the_door
def decisions_of_job(db: AlertDatabase, job_id: str) -> Iterator[PastDecision]:
    """Every decision that `job_id` left, one an alert, in the order of their alert ids."""
    rule_of = _rule_texts(db)
    found = db[COLLECTION].find({"state_history.job_id": job_id}, {"alert_id": 1, "state_history": 1})
    for alert in found.sort("alert_id", 1).allow_disk_use(True):
        for entry in alert["state_history"] if isinstance(alert["state_history"], list) else ():
            if isinstance(entry, dict) and entry.get("job_id") == job_id:
                yield PastDecision(str(alert.get("alert_id")), entry, rule_of(entry))


def matched_in_words(entry: Mapping[str, Any]) -> str:
    """The values that the rule met when it decided, as the history entry keeps them; empty if it keeps none."""
    matched = entry.get("matched")
    kept = [one for one in matched if isinstance(one, dict)] if isinstance(matched, list) else []
    # A field that the alert lacked has no value.
    return ", ".join(
        f"{one.get('field')} = {value_in_words(one['value'])}" if "value" in one else f"no {one.get('field')}"
        for one in kept
    )


def value_in_words(value: Any) -> str:
    """A value of an alert, texts in quotes, times to the second, true and false as rules write them."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else repr(value)


def run_url(entry: Mapping[str, Any], ui_url: str | None) -> str | None:
    """The page of the Dagster run that decided, None where either is not known."""
    return f"{ui_url}/runs/{entry['run_id']}" if ui_url and isinstance(entry.get("run_id"), str) else None


def _rule_texts(db: AlertDatabase) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """A function from a history entry to its rule as it was then; each is asked for once."""
    text_of = cache(partial(rule_text, db))
    return lambda entry: text_of(str(entry.get("rule_set_version")), str(entry.get("rule_triggered")))
