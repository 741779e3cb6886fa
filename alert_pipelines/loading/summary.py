"""Summarizes a load: time range, statuses, severities, and signs of a wrong mapping."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from alert_pipelines.mongo.client import AlertDocument

_MAX_EXAMPLES = 5
_ENDS = ("expires_at", "closed_at", "resolved_at")


@dataclass
class Summary:
    """Counts of the alerts of a file, inserted or existing."""

    alerts: int = 0
    first: datetime | None = None
    last: datetime | None = None
    sources: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)
    ends_before_start: Counter[str] = field(default_factory=Counter)
    rows_sharing_id: int = 0
    shared_ids: list[str] = field(default_factory=list)
    columns_without_value: list[str] = field(default_factory=list)

    def count(self, alerts: Iterable[AlertDocument]) -> None:
        """Count some alerts of the file."""
        for alert in alerts:
            start = alert["timestamp"]
            self.alerts += 1
            self.first = start if self.first is None else min(self.first, start)
            self.last = start if self.last is None else max(self.last, start)
            self.sources[alert["source_type"]] += 1
            self.statuses[alert["status"]] += 1
            self.severities[alert["severity"]] += 1
            self.ends_before_start.update(name for name in _ENDS if alert[name] is not None and alert[name] < start)

    def share_id(self, ids: list[str]) -> None:
        """Count rows that have the id of an earlier row."""
        self.rows_sharing_id += len(ids)
        room = _MAX_EXAMPLES - len(self.shared_ids)
        self.shared_ids += [alert_id for alert_id in dict.fromkeys(ids) if alert_id not in self.shared_ids][:room]

    def lines(self) -> Iterator[str]:
        """Yield the summary as lines of text: counts, then warnings."""
        if self.first is None or self.last is None:
            return
        yield f"Timestamps from {_text(self.first)} to {_text(self.last)}"
        for name, found in (("Sources", self.sources), ("Statuses", self.statuses), ("Severities", self.severities)):
            shown = ", ".join(f"{value} {times:,}" for value, times in found.most_common(_MAX_EXAMPLES))
            more = f", and {len(found) - _MAX_EXAMPLES} others" if len(found) > _MAX_EXAMPLES else ""
            yield f"{name}: {shown}{more}"
        yield from self.warnings()

    def warnings(self) -> Iterator[str]:
        """Yield what may be wrong with the mapping or the file."""
        if self.columns_without_value:
            yield f"Columns of the mapping with no value in any row: {', '.join(self.columns_without_value)}"
        if self.rows_sharing_id:
            ids = ", ".join(self.shared_ids)
            yield (
                f"{self.rows_sharing_id:,} rows share an id with an earlier row of the file ({ids}): the first row "
                "counts. For updates, write events"
            )
        for name, times in self.ends_before_start.items():
            yield f"{times:,} alerts end before they start: {name} is before timestamp"


def _text(timestamp: datetime) -> str:
    return timestamp.isoformat(timespec="seconds")
