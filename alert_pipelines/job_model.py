"""The model of a job record, as the alert service reads the documents of `background_jobs`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class BackgroundJobModel(BaseModel):
    """One execution of a job; `model_dump(mode="json")` is what an API can answer with.

    Attributes:
        job_id: `JOB-YYYYMMDD-HHMMSS-` and eight hex digits.
        job_type: `auto_close_scanner` for a scan, `auto_close_dry_run` for a preview; the service has its own.
        status: `running`, `completed` or `failed`.
        started_at: UTC, on the server's clock.
        completed_at: UTC; None while it runs.
        alerts_processed: How many pending alerts it looked at.
        alerts_closed: How many it closed.
        alerts_escalated: How many it escalated.
        errors: What went wrong, at most the first 100.
        execution_time_ms: Milliseconds; None while it runs.

    Further fields of the document, such as `stats`, `run_id` and `as_of`, are kept and are attributes, too.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    job_id: str
    job_type: str
    status: str
    started_at: datetime | None = None
    completed_at: datetime | None = None
    alerts_processed: int = 0
    alerts_closed: int = 0
    alerts_escalated: int = 0
    errors: list[str] = Field(default_factory=list)
    execution_time_ms: float | None = None

    @staticmethod
    def of(document: Mapping[str, Any]) -> "BackgroundJobModel":
        """The model of a stored document. One that another program wrote in other kinds is kept as it stands."""
        try:
            return BackgroundJobModel.model_validate(document)
        except ValidationError:
            return BackgroundJobModel.model_construct(**document)
