"""The checkpoint of a completed scan, from which the next scan can be incremental.

`changes` finds what changed since, and whether the checkpoint can be used.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class Meaning(NamedTuple):
    """Fingerprints of what a scan decides by: its rules, and what maintenance windows leave out at its as_of."""

    rules: str
    windows: str


class Checkpoint(NamedTuple):
    """What a completed scan leaves for the next: where its claim stands in the change stream, and what it left.

    `meaning` is what it decided by. `left` are the `_id`s of alerts that were due and could not be written.
    """

    token: Mapping[str, Any]
    meaning: Meaning
    left: tuple[Any, ...]

    def dump(self) -> str:
        """One text, since the readers of job records expect no values that JSON does not have."""
        return json_util.dumps({**self._asdict(), "meaning": self.meaning._asdict()}, json_options=_JSON)

    @classmethod
    def load(cls, text: str) -> "Checkpoint":
        """Read what `dump` wrote. Raises ValueError for what an earlier version did."""
        fields = json_util.loads(text, json_options=_JSON)
        if "election" in fields:
            raise ValueError("what its scan read may have been rolled back by an election")
        found = cls(fields["token"], Meaning(**fields["meaning"]), tuple(fields["left"]))
        # The server is asked with both.
        bson.encode({"token": dict(found.token), "left": found.left})
        return found


def rules_fingerprint(rules: Sequence[Rule], as_of: datetime) -> str:
    """One text for one meaning: what `rules` compile to, and which of them may decide at `as_of`."""
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
    return digest.hexdigest()


def windows_fingerprint(windows: Iterable[MaintenanceWindow], as_of: datetime) -> str:
    """One text for what `windows` leave out at `as_of`, whatever they leave out later.

    What is raised in a span that begins later is new, so spans that are still to come change nothing that was decided.
    """
    digest = hashlib.sha256()
    for left_out in sorted({one for window in windows for one in _left_out(window, as_of)}):
        digest.update(left_out)
    return digest.hexdigest()


def alerts_named(window: MaintenanceWindow) -> bytes:
    """The same for windows that name the same alerts in the same words."""
    return bson.encode(window.model_dump(mode="json", include={"source_types", "field", "values"}))


def _left_out(window: MaintenanceWindow, as_of: datetime) -> Iterator[bytes]:
    if window.holds_at(as_of):
        yield alerts_named(window)
    if spans := window.raised_spans(as_of):
        over = {name: end for name in ("to", "ended_at") if (end := getattr(window, name)) and end <= as_of}
        times = window.model_dump(mode="json", include={"from_", "rrule", "duration_mins", "zone"})
        # Of many spans the oldest are left out, and what was raised in them is then decided.
        yield alerts_named(window) + bson.encode({**times, **over, "first": spans[0].start})
