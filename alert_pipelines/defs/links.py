"""Where a run's page leads: to the UI's own screens, and to the commands that say more.

Paths within the UI start at its root, since nobody tells a run under which address people open it. They name the code
location as the instance does; a run that belongs to none, as by `dagster job execute`, has the commands alone.
"""

import json
from collections.abc import Iterable
from urllib.parse import quote

from dagster import MarkdownMetadataValue, MetadataValue

from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location

# The name that this checkout's own workspace gives the code location.
CODE_LOCATION = "alert_pipelines"
EXPLAIN_JOB, UNDO_JOB = "explain_alert_job", "undo_job"

_MAX_SAMPLES = 10


def launchpad(own: Location, job: str, op: str, **config: object) -> str:
    """The path of a job's Launchpad, its op's config filled in."""
    text = json.dumps({"ops": {op: {"config": config}}})
    # The UI leaves out the repository's name where it is the one that Dagster gives by itself.
    place = own.name if own.repository == "__repository__" else str(own)
    return f"/locations/{quote(place, safe='')}/jobs/{job}/playground/setup?config={quote(text, safe='')}"


def decided_alerts(own: Location | None, names: Names, job_id: str, samples: Iterable[str]) -> MarkdownMetadataValue:
    """How to see all that `job_id` decided, why, and how to take it back; `samples` are ids of some of its alerts."""
    explained = [_explained(own, names, alert_id) for alert_id in list(samples)[:_MAX_SAMPLES]]
    dry_run = (
        f"[a dry run of {names.name(UNDO_JOB)}]({launchpad(own, names.name(UNDO_JOB), 'undo', job_id=job_id)}), or "
        if own
        else ""
    )
    lines = [
        f"- every alert, its reason and its rule: `alert-pipelines jobs show {job_id} --alerts`",
        f"- explain one: {', '.join(explained) or 'none was decided'}",
        f"- take it back: {dry_run}`alert-pipelines undo {job_id}`",
    ]
    return MetadataValue.md("\n".join(lines))


def _explained(own: Location | None, names: Names, alert_id: str) -> str:
    shown, job = _plain(alert_id), names.name(EXPLAIN_JOB)
    return f"[{shown}]({launchpad(own, job, 'explain', alert_id=alert_id)})" if own else shown


def _plain(text: str) -> str:
    # An id is anybody's text: none of it is to be Markdown.
    return "".join(char if char.isalnum() or char in "-_. " else f"&#{ord(char)};" for char in text)
