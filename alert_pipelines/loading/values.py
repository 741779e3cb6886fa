"""Converts values of a file to values of a document.

A converter takes a value that is present and returns it converted, or raises BadValueError with the reason.
`documents` decides which column is converted how.
"""

import functools
import math
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from alert_pipelines.loading.date_words import plain_words
from alert_pipelines.zones import zone_of

ValueType: TypeAlias = Literal["str", "int", "float", "bool", "date", "duration", "list"]
Converter: TypeAlias = Callable[[Any], Any]
Formats: TypeAlias = str | list[str]
"""The format of the dates in a column, or several, of which exactly one must fit a date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS = {"epoch_s": 1e6, "epoch_ms": 1e3, "epoch_us": 1.0, "epoch_ns": 1e-3}  # in microseconds
_EXCEL_DAY_0 = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's times name no zone
_EXCEL_DAY_MS = 86_400_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d[\d.]*,\d+", re.ASCII)
_TRUE = "true 1 t yes y ja oui sí sì si sim wahr vrai verdadero vero verdadeiro waar"
_FALSE = "false 0 f no n nein non não nee falsch faux falso onwaar"
BOOLS = {**dict.fromkeys(_TRUE.split(), True), **dict.fromkeys(_FALSE.split(), False)}
_NEVER = re.compile(r"(?<![\d.,])(0001|9999)(?!\d)|0000-00-00", re.ASCII)  # as Go, .NET and SQL write "no end"
_NEVER_YEARS = (1, 9999)
_UTC = ("UTC", "GMT", "Z")
# As .NET writes dates in JSON. The offset is how the date was shown; the milliseconds are in UTC.
_DOT_NET = re.compile(r"/Date\((-?\d+)([+-]\d{4})?\)/", re.ASCII)
_SHORT_NAME = re.compile("[A-Z]{2,5}")
_OFFSET = re.compile(r"(UTC|GMT)([+-])(\d\d?):?(\d\d)?", re.ASCII)
_PROBE = datetime(2024, 12, 31, 23, 59, tzinfo=UTC)  # a date format is tried on it
_SAME_BUT_YEAR = _PROBE.replace(year=_PROBE.year - 28)  # the same day of the week, of the year and of its weeks


class BadValueError(ValueError):
    """Raised when a value is not what its column must hold. `problem` is the reason without the `value`."""

    def __init__(self, problem: str, value: str | None = None, hint: str = "") -> None:
        super().__init__((problem if value is None else f"{value!r} {problem}") + hint)
        self.problem = problem
        self.value = value


def check_date_format(date_format: Formats) -> Formats:
    """Return `date_format` if it is iso, excel, an epoch, a strptime format of whole dates, or a list of these.

    Raises ValueError for other formats.
    """
    if isinstance(date_format, list):
        return [str(check_date_format(each)) for each in date_format]
    if date_format in _READERS or date_format in _EPOCH_UNITS:
        return date_format
    whole_format, date_format = date_format, " ".join(word for word in date_format.split() if word != "%Z")
    if "%Z" in date_format:
        raise ValueError(f"{whole_format!r} is not a valid date format: expected %Z after a space, as a word by itself")
    try:
        # Python warns of days without a year, which it will refuse.
        probe = _PROBE.strftime(date_format)
        has_year = probe != _SAME_BUT_YEAR.strftime(date_format)
        whole = has_year and datetime.strptime(probe, date_format).date() == _PROBE.date()  # noqa: DTZ007
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(
            f"{date_format!r} is not a valid date format: expected iso, epoch_s, epoch_ms, epoch_us, epoch_ns, excel, "
            "or a strptime format with year, month and day such as '%d/%m/%Y %H:%M'"
        )
    return whole_format


def to_text(value: Any) -> str:
    """Return a text unchanged, a number or boolean as in JSON, a date in ISO 8601, a duration as in 1 day, 0:10:03."""
    if isinstance(value, str):
        if not value.isascii():
            _check_encoded(value)
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal | timedelta | UUID):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    kind = "an object" if isinstance(value, dict) else "binary" if isinstance(value, bytes) else "a list"
    raise BadValueError(f"is {kind}")


def to_int(value: Any) -> int:
    """Return a whole number that MongoDB can store (64 bits)."""
    text = to_text(value).strip()
    if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    raise BadValueError("is not a valid int: expected a whole number of 64 bits", text)


def to_float(value: Any) -> float:
    """Return a finite number."""
    text = to_text(value).strip()
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    raise BadValueError("is not a valid number", text)


class NumberReader:
    """Reads numbers with a decimal sign and perhaps a thousands sign. Numbers of JSON are not changed."""

    def __init__(self, decimal: str, thousands: str | None) -> None:
        self._plain = decimal == "." and thousands is None
        self._decimal = decimal
        mark = {None: "(?!)", " ": "[ \u00a0\u202f]"}.get(thousands, re.escape(thousands or ""))
        self._mark = re.compile(mark)
        whole = rf"(\d{{1,3}}({mark}\d{{3}})+|\d*)"
        self._written = re.compile(rf"[+-]?{whole}({re.escape(decimal)}\d*)?([eE][+-]?\d+)?", re.ASCII)

    def to_int(self, value: Any) -> int:
        """Return a whole number that MongoDB can store (64 bits)."""
        return to_int(self._normal(value))

    def to_float(self, value: Any) -> float:
        """Return a finite number."""
        try:
            return to_float(self._normal(value))
        except BadValueError as error:
            if self._plain and _DECIMAL_COMMA.fullmatch(error.value or ""):
                raise BadValueError(
                    error.problem, error.value, '; if "," is its decimal sign, write numbers: {decimal: ","}'
                ) from error
            raise

    def _normal(self, value: Any) -> Any:
        if self._plain or not isinstance(value, str):
            return value
        if not self._written.fullmatch(text := value.strip()):
            raise BadValueError(f"is not a valid number: expected the decimal sign {self._decimal!r}", text)
        return self._mark.sub("", text).replace(self._decimal, ".")


def to_bool(value: Any) -> bool:
    """Return a boolean, also written as 1 or 0, or as a word such as yes, in upper or lower case."""
    text = to_text(value).strip()
    if text.lower() in BOOLS:
        return BOOLS[text.lower()]
    raise BadValueError("is not a valid bool: expected true or false, 1 or 0, yes or no", text)


def list_reader(separator: str | None) -> Converter:
    """Return a converter to lists of texts, numbers and booleans; it splits a text at `separator`."""

    def convert(value: Any) -> list[Any]:
        if isinstance(value, list):
            return [item if isinstance(item, bool | int | float) else to_text(item) for item in value]
        if separator is None:
            raise BadValueError("is not a list; to split a text, set separator", to_text(value))
        return [item for part in to_text(value).split(separator) if (item := part.strip())]

    return convert


def end_converter(date_format: Formats, zone: str) -> Callable[[Any], datetime | None]:
    """Like `date_converter`, for times that may never come: the years 1 and 9999, and an epoch of 0, become None."""
    convert = date_converter(date_format, zone)
    formats = [date_format] if isinstance(date_format, str) else date_format
    never = None if _EPOCH_UNITS.keys().isdisjoint(formats) else _EPOCH

    def converted(value: Any) -> datetime | None:
        if isinstance(value, str) and _NEVER.search(value):
            return None
        end: datetime = convert(value)
        return None if end.year in _NEVER_YEARS or end == never else end

    return converted


def date_converter(date_format: Formats, zone: str) -> Converter:
    """Return a converter to aware datetimes in UTC; dates without a zone are in `zone`."""
    if isinstance(date_format, list):
        return _of_several(date_format, zone)
    local = ZoneInfo(zone)
    read = _date_reader(date_format, local)

    def zoned(date: datetime) -> datetime:
        return (date if date.tzinfo else date.replace(tzinfo=local)).astimezone(UTC)

    # Exports repeat times, and strptime is the slowest step of a load.
    @functools.lru_cache(maxsize=8192)
    def parse(text: str) -> datetime:
        return zoned(read(text))

    def convert(value: Any) -> datetime:
        if isinstance(value, date):
            # From a spreadsheet or a Parquet file; `date_format` is for dates that are text.
            return zoned(datetime.fromisoformat(value.isoformat()))
        text = to_text(value).strip()
        try:
            return parse(text)
        except BadValueError:
            raise
        except (ValueError, OverflowError):
            raise BadValueError(f"is not a valid date: expected the form {date_format}", text) from None

    return convert


def _of_several(formats: list[str], zone: str) -> Converter:
    converters = [date_converter(each, zone) for each in formats]

    def convert(value: Any) -> Any:
        found = set()
        for each in converters:
            with suppress(BadValueError):
                found.add(each(value))
        if len(found) != 1:
            fault = "fits several formats, with different dates" if found else "is not a valid date"
            raise BadValueError(f"{fault}: expected exactly one of the forms {', '.join(formats)}", to_text(value))
        return found.pop()

    return convert


def _date_reader(date_format: str, local: ZoneInfo) -> Callable[[str], datetime]:
    """Return a function from a text in `date_format` to its date, which has no zone if the text has none."""
    if (unit := _EPOCH_UNITS.get(date_format)) is not None:
        return lambda text: _EPOCH + timedelta(microseconds=to_float(text) * unit)
    if date_format in _READERS:
        return _READERS[date_format]
    plain, words = plain_words(date_format)
    parts = plain.split()
    if "%Z" not in parts:
        return lambda text: datetime.strptime(words(text), plain)  # noqa: DTZ007
    zone = parts.index("%Z")
    of_day = " ".join(part for part in parts if part != "%Z")

    def read(text: str) -> datetime:
        found = words(text).split()
        name = found.pop(zone) if len(found) == len(parts) else ""
        return _in_named(datetime.strptime(" ".join(found), of_day), name, local)  # noqa: DTZ007

    return read


def _excel(text: str) -> datetime:
    # To the millisecond, as in Excel: few times of day are an exact fraction of a day.
    days = to_float(text.replace(",", "."))
    return _EXCEL_DAY_0 + timedelta(milliseconds=round(days * _EXCEL_DAY_MS))


def _iso(text: str) -> datetime:
    """Parse a date in ISO 8601, also with the zone's name in brackets after it, as Java writes it; or .NET's form."""
    if dot_net := _DOT_NET.fullmatch(text):
        return _EPOCH + timedelta(milliseconds=int(dot_net.group(1)))
    day, bracket, name = text.removesuffix("]").partition("[")
    date = datetime.fromisoformat(day)
    return _in_named(date, name, None) if bracket and date.tzinfo is None else date


def _in_named(date: datetime, name: str, local: ZoneInfo | None) -> datetime:
    """Return `date` in the zone of this name; a short name, such as CET, must be one of `local` on that day.

    Short names are ambiguous (IST is of India, Israel and Ireland), so no other zone is guessed.
    """
    if name in _UTC:
        return date.replace(tzinfo=UTC)
    if offset := _OFFSET.fullmatch(name):
        _, sign, hours, minutes = offset.groups("0")
        return date.replace(tzinfo=timezone(timedelta(hours=int(sign + hours), minutes=int(sign + minutes))))
    if "/" in name:
        return date.replace(tzinfo=zone_of(name)).astimezone(UTC)
    for fold in (0, 1):
        if local is not None and (found := date.replace(tzinfo=local, fold=fold)).tzname() == name:
            return found.astimezone(UTC)
    if local is None or not _SHORT_NAME.fullmatch(name):
        raise ValueError(f"{name} is not the name of a zone")
    raise BadValueError(
        f"is not a valid date: the zone {local} is not called {name} then; set dates: {{zone: …}} to one that is",
        f"{date} {name}",
    )


def _check_encoded(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadValueError(
            "holds bytes that are not valid in the file's encoding", text, "; write its own, such as encoding: cp1252"
        ) from None


_READERS: dict[str, Callable[[str], datetime]] = {"iso": _iso, "excel": _excel}
PLAIN: dict[str, Converter] = {"str": to_text, "bool": to_bool}
