"""The model of a job record, as the alert service reads the documents of `background_jobs`; and whose a record is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class BackgroundJobModel(BaseModel):
    """A job record: one execution of a job. Use `model_dump(mode="json")` in an API.

    Other fields of the document, such as `stats`, `run_id` and `as_of`, are also attributes.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    job_id: str = Field(description="Unique id, as JOB-20250115-143022-a1b2c3d4.")
    job_type: str = Field(description="auto_close_scanner for a scan, auto_close_dry_run for a dry run.")
    status: str = Field(description="running, completed or failed.")
    started_at: datetime | None = Field(None, description="When it began, UTC, by the server's clock.")
    completed_at: datetime | None = Field(None, description="When it ended; none while it runs.")
    alerts_processed: int = Field(0, description="Pending alerts it looked at.")
    alerts_closed: int = Field(0, description="Alerts it closed, counted from their histories.")
    alerts_escalated: int = Field(0, description="Alerts it escalated, counted from their histories.")
    errors: list[str] = Field(default_factory=list, description="What could not be handled, at most 100 entries.")
    execution_time_ms: float | None = Field(None, description="Milliseconds that it took; none while it runs.")

    @staticmethod
    def of(document: Mapping[str, Any]) -> "BackgroundJobModel":
        """The model of a stored document. One that another program wrote in other kinds is kept as it stands."""
        try:
            return BackgroundJobModel.model_validate(document)
        except ValidationError:
            return BackgroundJobModel.model_construct(**document)


JOB_RECORDS = "background_jobs"
"""The collection that both keep their job records in."""

# A record of ours holds a lease while it runs; once ended, how many errors there were, or a stalled job's figures.
BY_SERVICE: dict[str, Any] = {"errors_total": {"$exists": False}, "stats": None, "lease_expires_at": None}
"""The filter of the records that another program wrote: the older service."""
OURS: dict[str, Any] = {"$nor": [BY_SERVICE]}
"""The filter of the records that this project wrote."""
