"""The checkpoint of a completed scan, from which the next scan can be incremental.

`changes` finds what changed since, and whether the checkpoint can be used.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import bson
from bson import json_util

from alert_pipelines.rules.compiler import compile_rules
from alert_pipelines.rules.model import Rule, canonical_json
from alert_pipelines.rules.windows import MaintenanceWindow

MAX_CHECKPOINT_CHARS = 20_000
"""A longer one, of hundreds of alerts that cannot be written, is not worth keeping with every job record."""
_ANY_TIMESTAMP = datetime(2000, 1, 1, tzinfo=UTC)
_JSON = json_util.CANONICAL_JSON_OPTIONS


class Checkpoint(NamedTuple):
    """What a completed scan leaves for the next: where its claim stands in the change stream, and what it left.

    `fingerprint` is that of its rules and maintenance windows. `left` are the `_id`s of alerts that were due and could
    not be written.
    """

    token: Mapping[str, Any]
    fingerprint: str
    left: tuple[Any, ...]

    def dump(self) -> str:
        """One text, since the readers of job records expect no values that JSON does not have."""
        return json_util.dumps(self._asdict(), json_options=_JSON)

    @classmethod
    def load(cls, text: str) -> "Checkpoint":
        """Read what `dump` wrote. Raises ValueError for what an earlier version did."""
        fields = json_util.loads(text, json_options=_JSON)
        if "election" in fields:
            raise ValueError("what its scan read may have been rolled back by an election")
        found = cls(fields["token"], fields["fingerprint"], tuple(fields["left"]))
        # The server is asked with both.
        bson.encode({"token": dict(found.token), "left": found.left})
        return found


def fingerprint(rules: Sequence[Rule], windows: Iterable[MaintenanceWindow], as_of: datetime) -> str:
    """One text for one meaning: what `rules` compile to, and the windows that leave something out at `as_of`.

    What is raised in a span that begins later is new, so spans that are still to come change nothing that was decided.
    """
    digest = hashlib.sha256()
    for clause in compile_rules(rules, _ANY_TIMESTAMP):
        digest.update(
            bson.encode({"rule": clause.rule_id, "filter": clause.alert_filter, "pipeline": clause.pipeline()})
        )
    for rule in rules:
        if hours := rule.only_hours():
            # While it is closed nothing becomes due; when it opens, all that did since.
            digest.update(b"open" if hours.is_open(as_of) else b"closed")
        if rule.calendars:
            digest.update(canonical_json(rule.canonical()).encode())
    for window in sorted(bson.encode(_meaning(window, as_of)) for window in windows if window.matters_at(as_of)):
        digest.update(window)
    return digest.hexdigest()


def _meaning(window: MaintenanceWindow, as_of: datetime) -> dict[str, Any]:
    # Of many spans the oldest are left out, and what was raised in them is then decided.
    spans = window.raised_spans(as_of)
    first = spans[0].start if spans else None
    return {**window.model_dump(mode="json"), "holds": window.holds_at(as_of), "first": first}
