"""The mapping language: which column of a file becomes which field of an alert.

This module validates mappings. `values` converts values, `documents` makes documents.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from alert_pipelines.alerts import Severity, Status
from alert_pipelines.errors import MappingError
from alert_pipelines.loading.mapping_parts import (
    AlertId,
    Choice,
    DateColumn,
    Dates,
    End,
    Events,
    Layout,
    MetadataColumn,
    Numbers,
    Source,
    Text,
    Timestamp,
)
from alert_pipelines.loading.paths import ColumnPath
from alert_pipelines.spelling import did_you_mean
from alert_pipelines.yaml_files import parse_yaml, read_content

# Keys for alerts that may have ended; in a log of updates, events set these fields.
SNAPSHOT_KEYS = ("status", "resolved_at", "updated_at", "resolved_by", "resolution_notes")
# Names become keys of the document, where a dot or a dollar has a special meaning.
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Mapping(Layout):
    """The mapping for one file format; see docs/loading.md."""

    numbers: Numbers = Numbers()
    missing: list[str] = Field(default_factory=list)
    dates: Dates = Dates()
    alert_id: AlertId
    source_type: Choice[Text]
    severity: Choice[Severity]
    timestamp: Timestamp
    expires_at: End | None = None
    status: Choice[Status] | None = None
    resolved_at: End | None = None
    updated_at: DateColumn | None = None
    resolved_by: Source | None = None
    resolution_notes: Source | None = None
    metadata: dict[FieldName, MetadataColumn] = Field(default_factory=dict)
    events: Events | None = None

    @model_validator(mode="after")
    def _events_need_an_id(self) -> Self:
        if self.events is not None and self.alert_id.content_hash is not None:
            raise ValueError(
                "events: all rows of an alert must have the same id, and a content_hash differs for each row: use a "
                "column or a template"
            )
        return self

    @model_validator(mode="after")
    def _events_tell_the_status(self) -> Self:
        if self.events is None and self.timestamp.first:
            raise ValueError("timestamp: first is for a log of updates only: write events, or name a column")
        given = [name for name in SNAPSHOT_KEYS if self.events is not None and getattr(self, name) is not None]
        if given:
            raise ValueError(f"{', '.join(given)}: in a log of updates, events set this: leave this out, or events")
        return self

    @property
    def starts_with_first_event(self) -> bool:
        """Whether an alert starts with the first of its updates that does not close it."""
        if self.events is None:
            return False
        return bool(self.timestamp.first) or self.timestamp.paths == self.events.time.paths

    def columns(self) -> Iterator[tuple[str, list[ColumnPath]]]:
        """Yield each place in the mapping with columns of which every row must have one."""
        if self.events is not None:
            yield "events.state", [self.events.state]
        for place, source in _sources(self, ""):
            yield from ((f"{place}.{key}", paths) for key, paths in source.needs())


def _sources(part: BaseModel, place: str) -> Iterator[tuple[str, Source]]:
    for name in type(part).model_fields:
        value, here = getattr(part, name), f"{place}{name}"
        for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            there = f"{here}.{key}" if key else here
            if isinstance(inner, Source):
                yield there, inner
            elif isinstance(inner, BaseModel):
                yield from _sources(inner, f"{there}.")


def load_mapping(path: Path) -> Mapping:
    """Read a mapping from a YAML file, or from a JSON file if its name ends in .json.

    Raises MappingError with the file, the place in it, the fault and, for an unknown key, the nearest valid one.
    """
    return _parsed(read_content(path, "mapping", MappingError, as_text=True), str(path))


def parse_mapping(text: str, name: str) -> Mapping:
    """Parse a mapping in YAML; messages call it `name`. Raises MappingError."""
    return _parsed(parse_yaml(text, as_text=True), name)


def _parsed(content: Any, name: str) -> Mapping:
    try:
        # As JSON: strict, but enums may be written as text.
        return Mapping.model_validate_json(json.dumps(content))
    except ValidationError as error:
        faults = "\n".join(f"  {_fault(fault)}" for fault in error.errors())
        raise MappingError(f"the mapping {name} is not valid:\n{faults}\nSee docs/loading.md.") from error


def _fault(fault: ErrorDetails) -> str:
    location = [str(step) for step in fault["loc"] if step != "[key]"]
    place = ".".join(location) or "the mapping"
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key; {did_you_mean(location[-1], _keys_at(location[:-1]))}"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"


def _keys_at(location: list[str]) -> list[str]:
    model: type[BaseModel] = Mapping
    for step in location:
        # A step that is not a field is a key of the dict, such as metadata, before it.
        if step in model.model_fields:
            model = _model_in(model.model_fields[step].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
