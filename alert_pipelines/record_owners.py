"""Who wrote a job record: this project, or the older service, which keeps its own in the same collection."""

from typing import Any

JOB_RECORDS = "background_jobs"
"""The collection that both keep their job records in."""

# A record of ours holds a lease while it runs; once ended, how many errors there were, or a stalled job's figures.
BY_SERVICE: dict[str, Any] = {"errors_total": {"$exists": False}, "stats": None, "lease_expires_at": None}
"""The filter of the records that another program wrote: the older service."""
OURS: dict[str, Any] = {"$nor": [BY_SERVICE]}
"""The filter of the records that this project wrote."""
