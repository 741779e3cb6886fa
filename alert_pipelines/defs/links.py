"""Links from the page of a run to other screens of the UI, and the commands that show more.

Links within the UI are relative to its root, since a run does not know the UI's address. They contain the name of the
code location. A run without one, as by `dagster job execute`, shows the commands only.
"""

import json
from collections.abc import Iterable
from itertools import islice
from urllib.parse import quote

from dagster import MarkdownMetadataValue, MetadataValue

from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.scan.runs import AUTO_CLOSE_JOB, DRY_RUN_JOB

# The name that this checkout's own workspace gives the code location.
CODE_LOCATION = "alert_pipelines"
EXPLAIN_JOB, UNDO_JOB, LIST_JOB = "explain_alert_job", "undo_job", "list_decisions_job"

_MAX_SAMPLES = 10
_HIDDEN_FROM = 1_000
"""The UI hides Markdown of this length or more behind a click."""


def launchpad(own: Location, job: str, op: str, **config: object) -> str:
    """The path of a job's Launchpad, its op's config filled in."""
    text = json.dumps({"ops": {op: {"config": config}}}, separators=(",", ":"))
    # The UI leaves out the repository's name where it is the one that Dagster gives by itself.
    place = own.name if own.repository == "__repository__" else str(own)
    return f"/locations/{quote(place, safe='')}/jobs/{job}/playground/setup?config={quote(text, safe=':,')}"


def decided_alerts(own: Location | None, names: Names, job_id: str, samples: Iterable[str]) -> MarkdownMetadataValue:
    """How to see all that `job_id` decided, why, and how to take it back; `samples` are ids of some of its alerts.

    As many samples are named as have room, so that Undo is in sight.
    """
    all_of_them = _link("All alerts", own, names, LIST_JOB, "list_decisions", job_id=job_id)
    undone = _link("Undo", own, names, UNDO_JOB, "undo", job_id=job_id)
    undo = f"- {undone} (a dry run, unless you set `dry_run: false`), or `alert-pipelines undo {job_id}`"
    listed = f"- {all_of_them}, with reason and rule: `alert-pipelines jobs show {job_id} --alerts`"
    explain, room = "", _HIDDEN_FROM - len(undo) - len(listed) - 2
    for alert_id in islice(samples, _MAX_SAMPLES):
        link = _link(_plain(alert_id), own, names, EXPLAIN_JOB, "explain", alert_id=alert_id)
        more = f"{explain}, {link}" if explain else f"- Explain {link}"
        if len(more) >= room:
            break
        explain = more
    return MetadataValue.md("\n".join(filter(None, (undo, explain, listed))))


def limit_leads(own: Location, names: Names, blocked: Iterable[str]) -> str:
    """How to see what limits block, and how to allow it once; `blocked` are what `allow_over_limit` calls them."""
    allow_once = _link(
        "Allow once", own, names, AUTO_CLOSE_JOB, "auto_close", allow_over_limit=list(blocked), confirm=False
    )
    return f"{_link('Preview', own, names, DRY_RUN_JOB, 'dry_run')} · {allow_once}"


def _link(text: str, own: Location | None, names: Names, job: str, op: str, **config: object) -> str:
    """`text`, plain Markdown, as a link to the job's Launchpad, its op's config filled in; without `own` as it is."""
    return f"[{text}]({launchpad(own, names.name(job), op, **config)})" if own else text


def _plain(text: str) -> str:
    # An id is anybody's text: none of it is to be Markdown.
    return "".join(char if char.isalnum() or char in "-_. " else f"&#{ord(char)};" for char in text)
