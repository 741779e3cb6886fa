"""The alert: its document and fields (`model`), filters, collection and indexes, its history, counts of the pending.

What is decided about alerts belongs to `rules` and `scanner`; nothing here looks at a rule.
"""

from alert_pipelines.alerts.collection import COLLECTION, INDEXES, alert_key, ensure_indexes, find_alert
from alert_pipelines.alerts.filters import (
    A_DATE,
    IS_PENDING,
    OUTSIDE_CONTRACT,
    PENDING_IN_INDEX,
    PENDING_NAMES,
    SETTLED_NAMES,
    WITH_SOURCE_ARRAY,
    WITH_STATUS_ARRAY,
    one_of,
)
from alert_pipelines.alerts.history import (
    HISTORY,
    UNDONE_JOBS,
    DecisionTally,
    author_of_change,
    entries_from,
    entries_where,
    is_reopening,
    kind_of_change,
    tally_decisions,
)
from alert_pipelines.alerts.model import (
    PENDING,
    SETTLED,
    TRANSITIONS,
    Alert,
    AlertMetadata,
    Severity,
    SourceType,
    StateChange,
    Status,
)

__all__ = [
    "A_DATE",
    "COLLECTION",
    "HISTORY",
    "INDEXES",
    "IS_PENDING",
    "OUTSIDE_CONTRACT",
    "PENDING",
    "PENDING_IN_INDEX",
    "PENDING_NAMES",
    "SETTLED",
    "SETTLED_NAMES",
    "TRANSITIONS",
    "UNDONE_JOBS",
    "WITH_SOURCE_ARRAY",
    "WITH_STATUS_ARRAY",
    "Alert",
    "AlertMetadata",
    "DecisionTally",
    "Severity",
    "SourceType",
    "StateChange",
    "Status",
    "alert_key",
    "author_of_change",
    "ensure_indexes",
    "entries_from",
    "entries_where",
    "find_alert",
    "is_reopening",
    "kind_of_change",
    "one_of",
    "tally_decisions",
]
