"""What `close_if_other` and `suppress_if_other` may say: which other alerts decide, and with which of ours they go."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alert_pipelines.alerts import Status
from alert_pipelines.rules.paths import WRITTEN_FIELDS, FieldPath
from alert_pipelines.rules.sources import SourceType, sources_of
from alert_pipelines.rules.tree import CheckedTree


class When(StrEnum):
    """Whether the other alert has to be raised at or after ours (later), or at any time."""

    LATER = "later"
    ANY = "any"


class Other(BaseModel):
    """Other alerts by which a rule decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_type: SourceType = Field(
        description="the source of the other alert, a list of them, or '*' for every source"
    )
    match: Annotated[dict[FieldPath, FieldPath], Field(min_length=1, max_length=5)] | None = Field(
        None, description="which path of the other alert equals which path of ours, default the key"
    )
    if_: CheckedTree | None = Field(None, alias="if", description="a condition tree that holds for the other alert")
    statuses: Annotated[list[Status], Field(min_length=1)] | None = Field(
        None, description="the statuses of the other alert, default any"
    )
    when: When | None = Field(
        None,
        description="later: its timestamp is not before ours; any: at any time. Default later for close_if_other, any "
        "for suppress_if_other",
    )

    @model_validator(mode="after")
    def _matches_by_keys(self) -> Self:
        for pair in (self.match or {}).items():
            for path in pair:
                if path.partition(".")[0] in WRITTEN_FIELDS:
                    raise ValueError(f"match: {path} cannot be a key: a scan writes it")
        return self

    @property
    def sources(self) -> tuple[str, ...] | None:
        """Its sources; None for every source."""
        return sources_of(self.source_type)
