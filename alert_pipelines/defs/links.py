"""Where a run's page leads: to the UI's own screens, and to the commands that say more.

Paths within the UI start at its root, since nobody tells a run under which address people open it.
"""

import json
from collections.abc import Iterable
from urllib.parse import quote

from dagster import MarkdownMetadataValue, MetadataValue

# The name that the daemon's workspace gives the code location: a schedule's state is kept under it.
CODE_LOCATION = "alert_pipelines"
EXPLAIN_JOB, UNDO_JOB = "explain_alert_job", "undo_job"

_MAX_SAMPLES = 10


def launchpad(job: str, op: str, **config: object) -> str:
    """The path of a job's Launchpad, its op's config filled in."""
    text = json.dumps({"ops": {op: {"config": config}}})
    return f"/locations/{CODE_LOCATION}/jobs/{job}/playground/setup?config={quote(text, safe='')}"


def decided_alerts(job_id: str, samples: Iterable[str]) -> MarkdownMetadataValue:
    """How to see all that `job_id` decided, why, and how to take it back; `samples` are ids of some of its alerts."""
    explained = ", ".join(
        f"[{_plain(alert_id)}]({launchpad(EXPLAIN_JOB, 'explain', alert_id=alert_id)})"
        for alert_id in list(samples)[:_MAX_SAMPLES]
    )
    undo = launchpad(UNDO_JOB, "undo", job_id=job_id)
    lines = [
        f"- every alert, its reason and its rule: `alert-pipelines jobs show {job_id} --alerts`",
        f"- explain one: {explained or 'none was decided'}",
        f"- take it back: [a dry run of undo_job]({undo}), or `alert-pipelines undo {job_id}`",
    ]
    return MetadataValue.md("\n".join(lines))


def _plain(text: str) -> str:
    # An id is anybody's text: none of it is to be Markdown.
    return "".join(char if char.isalnum() or char in "-_. " else f"&#{ord(char)};" for char in text)
