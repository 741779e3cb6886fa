"""The parts of a mapping: where a value comes from, and how it is written. `mapping` combines them."""

from collections.abc import Iterator
from string import Formatter
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from alert_pipelines.alerts import Status
from alert_pipelines.loading.durations import check_unit
from alert_pipelines.loading.paths import ColumnPath
from alert_pipelines.loading.values import ValueType, check_date_format
from alert_pipelines.zones import ZoneName

Text = Annotated[str, Field(min_length=1)]
Chosen = TypeVar("Chosen")
DateFormat = Annotated[str | Annotated[list[str], Field(min_length=2)], AfterValidator(check_date_format)]
Unit = Annotated[str, AfterValidator(check_unit)]


def _check_path(column: Any) -> Any:
    if isinstance(column, str) and column:
        return column
    if isinstance(column, list) and column and all(isinstance(step, str) for step in column):
        return column
    raise ValueError(
        f"{column!r} is not a valid column: expected a name, a path with dots, or a list of keys such as "
        '["_source", "kibana.alert.start"]'
    )


def _check_names(columns: Any) -> Any:
    is_list = isinstance(columns, list) and columns and all(isinstance(name, str) and name for name in columns)
    if columns == "first" or (is_list and len(set(columns)) == len(columns)):
        return columns
    raise ValueError(
        f"{columns!r} is not a valid row_columns: expected first, or a list of the columns' names, each different"
    )


Column = Annotated[ColumnPath, BeforeValidator(_check_path)]
RowColumns = Annotated[Literal["first"] | list[str], BeforeValidator(_check_names)]


class Part(BaseModel):
    """A part of a mapping: unknown keys are refused, types are not converted, and it cannot be changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _check_otherwise(otherwise: object, values: object) -> None:
    if otherwise is not None and values is None:
        raise ValueError("otherwise is for values that are not in map: write a map, too")


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Return the pieces of `template`: each a literal text and the column that follows it, if any.

    Raises ValueError if it has no column, or more than column names in braces.
    """
    parts = []
    for literal, column, spec, conversion in Formatter().parse(template):
        if spec or conversion or column == "":
            raise ValueError(
                f"{template!r} is not a valid template: expected only column names in braces, as in '{{host}}-{{time}}'"
            )
        parts.append((literal, column))
    if not any(column for _, column in parts):
        raise ValueError(
            f"{template!r} is not a valid template: expected a column in braces; all alerts would have the same value"
        )
    return parts


class Source(Part):
    """Where a value comes from: a column, the first of several columns with a value, or a template of columns."""

    column: Column | None = None
    coalesce: Annotated[list[Column], Field(min_length=1)] | None = None
    template: Text | None = None

    ways: ClassVar[tuple[str, ...]] = ("column", "coalesce", "template")
    """The keys of which exactly one is required."""
    always_needed: ClassVar[bool] = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(getattr(self, name) is not None for name in self.ways) != 1:
            raise ValueError(f"expected exactly one of {', '.join(self.ways)}")
        if self.template is not None:
            template_parts(self.template)
        return self

    @property
    def paths(self) -> list[ColumnPath]:
        """The columns that it reads."""
        if self.template is not None:
            return [column for _, column in template_parts(self.template) if column is not None]
        return [self.column] if self.column is not None else list(self.coalesce or ())

    @property
    def is_required(self) -> bool:
        """Whether a value is required, so that a row must have one column of a `coalesce`."""
        return self.always_needed

    def needs(self) -> Iterator[tuple[str, list[ColumnPath]]]:
        """Yield the key and the columns of which a row must have one."""
        if self.coalesce is None:
            key = "template" if self.template is not None else "column"
            yield from ((key, [path]) for path in self.paths)
        elif self.is_required:
            yield "coalesce", self.coalesce


class AlertId(Source):
    """Where `alert_id` comes from: a column or template, or the row's content.

    `content_hash: IDS` makes IDS-<hash of the row>-<its number among identical rows>.
    """

    content_hash: Text | None = None

    ways = (*Source.ways, "content_hash")
    always_needed = True


class Choice(Source, Generic[Chosen]):
    """A constant, or the value of a column, unchanged or translated by a map.

    `otherwise` replaces values that are not in the map, `default` replaces missing values.
    """

    constant: Chosen | None = None
    map: dict[str, Chosen] | None = None
    otherwise: Chosen | None = None
    default: Chosen | None = None

    ways = (*Source.ways, "constant")

    @model_validator(mode="after")
    def _of_columns(self) -> Self:
        for name in ("map", "default"):
            if getattr(self, name) is not None and self.constant is not None:
                raise ValueError(f"{name} is for the values of a column: leave out {name} or constant")
        _check_otherwise(self.otherwise, self.map)
        return self

    @property
    def is_required(self) -> bool:
        """Whether a row needs a value: the field has no default."""
        return self.default is None


class DateColumn(Source):
    """Where a time comes from, with a `format` if it differs from `dates.format`."""

    format: DateFormat | None = None


class Timestamp(DateColumn):
    """The time when an alert was raised. `first`: in a log of updates, the first update that does not close it."""

    first: bool | None = None

    ways = (*Source.ways, "first")
    always_needed = True

    @model_validator(mode="before")
    @classmethod
    def _written(cls, written: Any) -> Any:
        return {"first": True} if written == "first" else written


class End(DateColumn):
    """A time that may be missing, or a duration `after` the timestamp; plain numbers are in `unit`."""

    after: Column | None = None
    unit: Unit | None = None

    ways = (*Source.ways, "after")

    @model_validator(mode="after")
    def _unit_of_durations(self) -> Self:
        if self.unit is not None and self.after is None:
            raise ValueError("unit is for after only: it is the unit of plain numbers in that column")
        return self

    @property
    def paths(self) -> list[ColumnPath]:
        """The columns that it reads."""
        return [self.after] if self.after is not None else super().paths

    def needs(self) -> Iterator[tuple[str, list[ColumnPath]]]:
        """Yield the key and the column of the duration, which a row must have."""
        if self.after is not None:
            yield "after", [self.after]
        else:
            yield from super().needs()


class MetadataColumn(Source):
    """Where a value of `metadata` comes from, and its `type`. Missing values leave the field out."""

    type: ValueType = "str"
    map: dict[str, str] | None = None
    otherwise: str | None = None
    default: str | None = None
    format: DateFormat | None = None
    separator: Text | None = None
    unit: Unit | None = None

    @model_validator(mode="after")
    def _keys_of_the_type(self) -> Self:
        for key, kind in (("format", "date"), ("separator", "list"), ("unit", "duration")):
            if getattr(self, key) is not None and self.type != kind:
                raise ValueError(f"{key} is for type {kind} only")
        _check_otherwise(self.otherwise, self.map)
        return self


class Actor(Source):
    """Who made an update; names in `system` are the source's automation."""

    system: list[Text] = []


class Events(Part):
    """The file has one row per update: the rows of one id, in order of `time`, are folded into one alert."""

    time: DateColumn
    state: Column
    states: Annotated[dict[str, Status], Field(min_length=1)]
    actor: Actor | None = None


def _boolean(text: Any) -> Any:
    return {"true": True, "false": False}.get(text, text) if isinstance(text, str) else text


class Dates(Part):
    """How times are written, the zone of times without one, and whether they are whole days."""

    format: DateFormat = "iso"
    zone: ZoneName = "UTC"
    whole_days: Annotated[bool, BeforeValidator(_boolean)] = False


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
    """How a CSV file is written. The header is on `header_line`; lines above it are skipped."""

    delimiter: Annotated[str, AfterValidator(_one_character)] = ","
    quote: Annotated[str, AfterValidator(_quote)] = '"'
    escape: Annotated[str, AfterValidator(_one_character)] | None = None
    header_line: Annotated[Whole, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({self.delimiter, self.quote, self.escape}) < 3:
            raise ValueError("delimiter, quote and escape must differ")
        return self

    @property
    def quote_character(self) -> str | None:
        """The quote, or None if values are never quoted."""
        return None if self.quote == "none" else self.quote


class Excel(Part):
    """The sheet of a workbook, by default the first, and the line of its header."""

    sheet: Text | None = None
    header_line: Annotated[Whole, Field(ge=1, le=1000)] = 1


class Numbers(Part):
    """How numbers are written as text."""

    decimal: Annotated[str, AfterValidator(_one_character)] = "."
    thousands: Annotated[str, AfterValidator(_one_character)] | None = None

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands must differ")
        return self


def known_encoding(name: str) -> str:
    """Return `name` if Python has a text encoding of this name; else raise ValueError."""
    try:
        # A look-up is not enough: base64 and rot13 are codecs, too.
        "a".encode(name)
    except (LookupError, UnicodeError):
        raise ValueError(f"{name!r} is not a valid text encoding: expected a name such as utf-8 or latin-1") from None
    return name


class Layout(Part):
    """How the rows of a file are found. `Mapping` adds what the columns mean."""

    format: Literal["csv", "jsonl", "json", "xlsx", "parquet"]
    rows: Column | None = None
    row_key: Text | None = None
    row_columns: RowColumns | None = None
    document_rows: Column | None = None
    csv: Csv = Csv()
    excel: Excel = Excel()
    encoding: Annotated[str, AfterValidator(known_encoding)] = "utf-8"
    trim: Annotated[bool, BeforeValidator(_boolean)] = False

    @model_validator(mode="after")
    def _keys_of_the_format(self) -> Self:
        text = ("csv", "json", "jsonl")
        for key, formats in (
            ("rows", ("json", "jsonl")),
            ("row_key", ("json",)),
            ("row_columns", ("json", "jsonl")),
            ("document_rows", ("csv", "jsonl")),
            ("csv", ("csv",)),
            ("excel", ("xlsx",)),
            ("encoding", text),
        ):
            if key in self.model_fields_set and self.format not in formats:
                raise ValueError(f"{key} is for format {' or '.join(formats)}, and the format is {self.format}")
        return self

    def columns(self) -> Iterator[tuple[str, list[ColumnPath]]]:
        """Yield each place in the mapping with columns of which every row must have one: here, none."""
        return iter(())
