"""Maintenance windows as models: what a document of `maintenance_windows` may hold, and when a window holds.

What a window takes out of a rule is the compiler's; how windows are listed, added and ended is `maintenance`'s.
"""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

from alert_pipelines.instants import as_utc
from alert_pipelines.rules.model import one_line
from alert_pipelines.rules.paths import FieldPath

UtcDatetime = Annotated[datetime, Field(strict=True), AfterValidator(as_utc)]


class MaintenanceWindow(BaseModel):
    """A document of `maintenance_windows`: while from ≤ as_of < to its alerts are not decided.

    `source_types` left out means every source; `field` and `values` left out means every alert of them. From
    `ended_at` on, the window holds no more. An unknown key is an error: a misspelt `source_types` would otherwise
    widen the window to every source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_id: Annotated[StrictStr, Field(min_length=1, max_length=100), AfterValidator(one_line)] | None = None
    source_types: Annotated[list[StrictStr], Field(min_length=1)] | None = None
    field: FieldPath | None = None
    values: Annotated[list[StrictBool | StrictInt | float | StrictStr], Field(min_length=1)] | None = None
    from_: UtcDatetime = Field(alias="from")
    to: UtcDatetime
    ended_at: UtcDatetime | None = None
    reason: StrictStr | None = None
    created_by: StrictStr | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.field is None) != (self.values is None):
            raise ValueError("field and values go together: give both or neither")
        if self.to <= self.from_:
            raise ValueError(
                f"to: the window never occurs: expected an instant after from ({self.from_.isoformat()}); "
                f"got {self.to.isoformat()}"
            )
        return self

    @property
    def alerts(self) -> str:
        """Which alerts of its sources the window is about, in words."""
        if self.field is None:
            return "all alerts"
        return f"{self.field}: {', '.join(map(str, self.values or ()))}"

    def holds_at(self, as_of: datetime) -> bool:
        """Whether the window is open at `as_of`."""
        return self.from_ <= as_of < self.to and (self.ended_at is None or as_of < self.ended_at)
