"""The edge cases of a generated week: documents that services really wrote, and that break a careless scan."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from alert_pipelines.alerts import Severity, SourceType
from alert_pipelines.loading.documents import new_alert
from alert_pipelines.mongo.client import AlertDocument

_AGE = timedelta(days=2)
_DROP = object()
_DUE = {"document_valid": True}
MALFORMED = ("AWKWARD-TIMESTAMP-TEXT", "AWKWARD-EXPIRES-TEXT", "AWKWARD-HISTORY-TEXT")
"""Those that a scan reports as malformed. The others are odd, and handled as any alert."""


def edge_case_alerts(until: datetime) -> Iterator[AlertDocument]:
    """Yield the edge cases of the week that ends at `until`; each differs from a normal alert in one way.

    All but the future one are two days old. Each is a DOCUMENT_EXPIRY whose document was renewed, unless its edge case
    is in one of these fields.
    """
    timestamp = until - _AGE
    naive_text = timestamp.replace(tzinfo=None).isoformat()
    oddities: dict[str, dict[str, Any]] = {
        "METADATA-ABSENT": {"metadata": _DROP},
        "METADATA-NULL": {"metadata": None},
        "HISTORY-TEXT": {"state_history": "created by import"},
        "HISTORY-NULL": {"state_history": None},
        "HISTORY-ABSENT": {"state_history": _DROP},
        "TIMESTAMP-TEXT": {"timestamp": naive_text},
        "TIMESTAMP-FUTURE": {"timestamp": until + timedelta(days=1)},
        "EXPIRES-TEXT": {"expires_at": naive_text},
        "SOURCE-UNKNOWN": {"source_type": "TYRE_PRESSURE"},
        "EXTRA-FIELDS": {"tenant": "north", "tags": ["imported"], "metadata": {**_DUE, "odometer_km": 81234}},
        "VALID-TEXT": {"metadata": {"document_valid": "true"}},
        "DRIVER-NULL": {"source_type": str(SourceType.OVERSPEEDING), "metadata": {"driver_id": None}},
        "DRIVER-LIST": {
            "source_type": str(SourceType.OVERSPEEDING),
            "metadata": {"driver_id": ["DRV-001", "DRV-002"]},
        },
    }
    for name, oddity in oddities.items():
        plain = new_alert(
            f"AWKWARD-{name}",
            source_type=SourceType.DOCUMENT_EXPIRY,
            severity=Severity.WARNING,
            timestamp=timestamp,
            metadata=dict(_DUE),
        )
        yield {field: value for field, value in {**plain, **oddity}.items() if value is not _DROP}
