"""The mapping language: which column of a file becomes which field of an alert.

This module says what may be written and names what is wrong with it. Converting values is `values`' task,
making documents `documents`'.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from alert_pipelines.alerts import Severity, Status
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.loading.paths import ColumnPath
from alert_pipelines.loading.values import ValueType, check_date_format, check_zone
from alert_pipelines.spelling import suggestion
from alert_pipelines.yaml_files import RefuseDuplicates


class MappingError(AlertPipelinesError):
    """A mapping file cannot be read, or says something that is not in the language."""


def _known_encoding(name: str) -> str:
    try:
        # Not only looked up: base64 and rot13 are codecs, too.
        "a".encode(name)
    except (LookupError, UnicodeError):
        raise ValueError(f"{name!r} is no encoding of text that Python knows: write utf-8 or latin-1, say") from None
    return name


Text = Annotated[str, Field(min_length=1)]
Chosen = TypeVar("Chosen")
DateFormat = Annotated[str, AfterValidator(check_date_format)]
# The name becomes a key of the document, where a dot or a dollar has a meaning of its own.
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Part(BaseModel):
    """A piece of a mapping: nothing unknown, nothing coerced, never changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _exactly_one(part: BaseModel, *names: str) -> None:
    if sum(getattr(part, name) is not None for name in names) != 1:
        raise ValueError(f"exactly one of {', '.join(names)} has to be given")


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """The pieces of `template`: each a literal text and the column that follows it, if one does.

    Raises ValueError where it names no column or says more than names.
    """
    parts = []
    for literal, column, spec, conversion in Formatter().parse(template):
        if spec or conversion or column == "":
            raise ValueError(f"template {template!r}: write only column names in braces, as in '{{host}}-{{time}}'")
        parts.append((literal, column))
    if not any(column for _, column in parts):
        raise ValueError(f"template {template!r} names no column: every alert would have the same id")
    return parts


class AlertId(Part):
    """Where `alert_id` comes from: a column, a template of columns, or the row's content.

    `content_hash: IDS` makes IDS-<hash of the whole row>-<its ordinal among identical rows>.
    """

    column: Text | None = None
    template: Text | None = None
    content_hash: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        _exactly_one(self, "column", "template", "content_hash")
        if self.template is not None:
            template_parts(self.template)
        return self


class Choice(Part, Generic[Chosen]):
    """A value that is constant, or that a column holds as it is or by a map of its values."""

    constant: Chosen | None = None
    column: Text | None = None
    map: dict[str, Chosen] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        _exactly_one(self, "constant", "column")
        if self.map is not None and self.column is None:
            raise ValueError("map needs a column")
        return self


class DateColumn(Part):
    """A column that holds an instant, in `format` where it differs from `dates.format`."""

    column: Text
    format: DateFormat | None = None


class MetadataColumn(Part):
    """A column whose value goes into `metadata`, as `type`; missing values leave the field out."""

    column: Text
    type: ValueType = "str"
    format: DateFormat | None = None

    @model_validator(mode="after")
    def _format_of_dates(self) -> Self:
        if self.format is not None and self.type != "date":
            raise ValueError("format is for type date only")
        return self


class Actor(Part):
    """The column that says who made an update; those in `system` are the source's own automation."""

    column: Text
    system: list[Text] = []


class Events(Part):
    """The file has one row per update: the rows of one id are folded, in the order of `time`, into one alert."""

    time: DateColumn
    state: Text
    states: Annotated[dict[str, Status], Field(min_length=1)]
    actor: Actor | None = None


class Dates(Part):
    """How instants are written, and the zone of those that name none."""

    format: DateFormat = "iso"
    zone: Annotated[str, AfterValidator(check_zone)] = "UTC"


def _one_character(text: str) -> str:
    if len(text) != 1 or text in "\r\n\0":
        raise ValueError(f'{text!r} is not a valid character here: expected one, such as ";", or "\\t" for a tab')
    return text


def _quote(text: str) -> str:
    return text if text == "none" else _one_character(text)


def _number(text: Any) -> Any:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() else text


Whole = Annotated[int, BeforeValidator(_number)]


class Csv(Part):
    """How a CSV file is written; the header stands on `header_line`, and what is above it is skipped."""

    delimiter: Annotated[str, AfterValidator(_one_character)] = ","
    quote: Annotated[str, AfterValidator(_quote)] = '"'
    header_line: Annotated[Whole, Field(ge=1, le=1000)] = 1

    @property
    def quote_character(self) -> str | None:
        """The quote, or None where values are never quoted."""
        return None if self.quote == "none" else self.quote


class Numbers(Part):
    """How numbers are written as text."""

    decimal: Annotated[str, AfterValidator(_one_character)] = "."
    thousands: Annotated[str, AfterValidator(_one_character)] | None = None

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands have to differ")
        return self


class Mapping(Part):
    """One file format, declared: see docs/loading.md."""

    format: Literal["csv", "jsonl", "json"]
    rows: ColumnPath | None = None
    csv: Csv = Csv()
    numbers: Numbers = Numbers()
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    missing: list[str] = []
    dates: Dates = Dates()
    alert_id: AlertId
    source_type: Choice[Text]
    severity: Choice[Severity]
    timestamp: DateColumn
    expires_at: DateColumn | None = None
    metadata: dict[FieldName, MetadataColumn] = {}
    events: Events | None = None

    @model_validator(mode="after")
    def _keys_of_the_format(self) -> Self:
        for key, formats in (("rows", ("json", "jsonl")), ("csv", ("csv",))):
            if key in self.model_fields_set and self.format not in formats:
                raise ValueError(f"{key} is for format {' or '.join(formats)}, and the format is {self.format}")
        return self

    @model_validator(mode="after")
    def _events_need_an_id(self) -> Self:
        if self.events is not None and self.alert_id.content_hash is not None:
            raise ValueError(
                "events: rows of one alert share an id, a content_hash gives each its own; use a column or template"
            )
        return self

    def columns(self) -> Iterator[tuple[str, str]]:
        """Each column that the mapping reads, after the place in the mapping that names it."""
        if self.alert_id.template is not None:
            for _, column in template_parts(self.alert_id.template):
                if column is not None:
                    yield "alert_id.template", column
        if self.events is not None:
            yield "events.state", self.events.state
        yield from _columns(self, "")


def _columns(part: BaseModel, place: str) -> Iterator[tuple[str, str]]:
    for name in type(part).model_fields:
        value, here = getattr(part, name), f"{place}{name}"
        if name == "column" and value is not None:
            yield here, value
        for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(inner, BaseModel):
                yield from _columns(inner, f"{here}.{key}." if key else f"{here}.")


class _TextLoader(RefuseDuplicates, yaml.BaseLoader):
    """YAML in which every scalar is text: a state called No or 1 is neither false nor a number."""


def load_mapping(path: Path) -> Mapping:
    """Read a mapping from a YAML or (by its name, .json) JSON file.

    Raises MappingError naming the file, the place in it, what is wrong and, for an unknown key, the nearest
    one that exists.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, _TextLoader)
    except OSError as error:
        raise MappingError(f"the mapping {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise MappingError(f"the mapping {path} is no valid {kind}: {error}") from error
    try:
        # As JSON: strict in everything but that enums are written as their text.
        return Mapping.model_validate_json(json.dumps(content))
    except ValidationError as error:
        faults = "\n".join(f"  {_fault(fault)}" for fault in error.errors())
        raise MappingError(f"the mapping {path} is not usable:\n{faults}\nSee docs/loading.md.") from error


def _fault(fault: ErrorDetails) -> str:
    location = [str(step) for step in fault["loc"] if step != "[key]"]
    place = ".".join(location) or "the mapping"
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key; {suggestion(location[-1], _keys_at(location[:-1]))}"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"


def _keys_at(location: list[str]) -> list[str]:
    model: type[BaseModel] = Mapping
    for step in location:
        # A step that is no field is a key of the dict (metadata's) that the step before led to.
        if step in model.model_fields:
            model = _model_in(model.model_fields[step].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
