"""Guesses what a column holds: its kind, its values, its date formats."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any

from alert_pipelines.loading.date_words import HALF_OF_DAY
from alert_pipelines.loading.paths import ColumnPath, shown
from alert_pipelines.loading.values import BOOLS, BadValueError, Converter, date_converter

# A column with more distinct values than this holds neither states nor severities.
MAX_VALUES = 40
_MAX_KNOWN = 20_000
_MAX_DEPTH = 6
# A number that begins with 0 is a name: converted, it would lose what it begins with.
# Nor is one a number that MongoDB, or a float, could not hold to its last digit.
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,14})\.0", re.ASCII)  # as pandas writes the integers of a column with gaps
_UNGROUPED = r"0|[1-9]\d{0,14}"
_GROUPED = r"(?P<grouped>[1-9]\d{{0,2}}([{}]\d{{3}})+)"
# How people write numbers for people: the decimal sign, the sign of thousands, and all of it.
NUMBER_SIGNS: dict[str, tuple[str, str, re.Pattern[str]]] = {
    name: (decimal, thousands, re.compile(rf"[+-]?({_GROUPED.format(mark)}|{_UNGROUPED})([{decimal}]\d+)?", re.ASCII))
    for name, decimal, thousands, mark in (
        ("comma", ",", ".", "."),
        ("grouped", ".", ",", ","),
        ("apostrophe", ".", "'", "'"),
        ("spaced", ",", " ", " \u00a0\u202f"),
    )
}
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[ap]\.?m\.?| Uhr)?", re.ASCII | re.IGNORECASE)
_HHMM = re.compile(r"([01]\d|2[0-3])[0-5]\d", re.ASCII)
_EPOCHS = {"epoch_s": "{9,10}", "epoch_ms": "{12,13}", "epoch_us": "{15,16}", "epoch_ns": "{18,19}"}
_COMPACT = "%Y%m%d%H%M%S"
# How a date of a format begins, or for a number all of it: what reads it takes more than people write.
_LIKE = {
    "iso": re.compile(r"\d{4}-\d\d|\d{8}T|/Date\(", re.ASCII),
    _COMPACT: re.compile(r"20\d{12}$", re.ASCII),
    "%Y%m%d": re.compile(r"20\d{6}$", re.ASCII),
    **{name: re.compile(rf"[0-9]{digits}(\.\d+)?$") for name, digits in _EPOCHS.items()},
}
_DAYS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%b{0}%Y", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%d{0}%b{0}%y")
_WORDS = ("%b %d, %Y", "%b %d %Y", "%d %b %Y", "%d. %b %Y", "%d de %b de %Y")
ISO_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
_CLOCKS = (*ISO_CLOCKS, "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p", "%H:%M Uhr")
_DOTTED = ("%H.%M", "%H.%M.%S")
_TIMES = ("", ":%H:%M:%S", *(mark + clock for mark in (" ", ", ") for clock in (*_CLOCKS, *_DOTTED)))
_FORMATS = (
    *(day.format(mark) + time for day in _DAYS for mark in "/.- " for time in _TIMES),
    *(day + time for day in _WORDS for time in _TIMES),
    *(f"{day} {mark} {clock}" for day in _WORDS for mark in ("at", "um", "à") for clock in _CLOCKS),
    "%b %d %H:%M:%S %Y",
)
_OFFSET = re.compile(r" (GMT|UTC)?([+-]\d\d:?\d\d|Z)(?= \(.*\)$|$)", re.ASCII)
_NAMED_ZONE = re.compile(r"(?<=[\dM]) ([A-Z]{3,4}([+-]\d\d?(:?\d\d)?)?|[A-Z]\w+/[\w/]+)(?=$| \d{4}$)", re.ASCII)
# Tried in this order for dates that name their zone by a short name, such as CET.
_LIKELY_ZONES = ("Europe/Berlin", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles",
                 "Europe/London", "Europe/Athens", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney")  # fmt: skip
_WEEKDAY = re.compile(r"([^\W\d_]+)([.,]* )(?=[\w])")


def _shape(text: str) -> str:
    """Return what a date and its format have in common: `0/0/0 0:0 a` for 1/13/2026 1:30 PM."""
    letters = re.sub(r"[^\W\d_]+\.?", "a", HALF_OF_DAY.sub(r"\1m", " ".join(text.split())))
    return re.sub(r"\d+", "0", letters)


def _by_shape() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in _FORMATS:
        found.setdefault(_shape(datetime(2024, 12, 31, 23, 59, tzinfo=UTC).strftime(name)), []).append(name)
    return found


def clock_format(clock: str) -> str:
    """Return the format of a time of day of the kind `time` or `hhmm`."""
    day = "%Y-%m-%d "
    return next(
        name for name in (*_CLOCKS, "%H%M") if _date(day, date_converter(day + name, "UTC"), f"2024-01-01 {clock}")
    )


# To try a format takes a thousand times as long as to see that a text is not of its shape.
_BY_SHAPE = _by_shape()
# The first or last day of a year that is long past, or far off: no date, but how a database writes that there is none.
_YEAR = r"(1900|1970|20[5-9]\d|2[1-9]\d\d)"
_NEVER = re.compile(rf"(0000-00-00|{_YEAR}-(01-01|12-31)|(01[./]01|31[./]12|12/31)[./]{_YEAR})([T ].*)?", re.ASCII)
_NOT_VALUES = frozenset(["?", "-", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "\\N"])


class Column:
    """One column of a file, according to the rows so far."""

    def __init__(self, path: ColumnPath, *, trim: bool = False) -> None:
        self.path = path
        self.rows = self._looked_at = self._padded = 0
        self._trim = trim
        self.values: dict[str, int] | None = {}
        self.samples: list[str] = []
        self.not_values: set[str] = set()
        self.is_list = False
        self._kinds: list[tuple[str, re.Pattern[str]]] = [
            ("int", _INTEGER),
            ("whole", _WHOLE),
            ("float", _NUMBER),
            *((name, form) for name, (_, _, form) in NUMBER_SIGNS.items()),
            ("time", _TIME_OF_DAY),
            ("hhmm", _HHMM),
        ]
        self._dates: list[tuple[str, str, Converter]] | None = None
        self._has_dates = False
        self._known: set[int] = set()
        self._repeats = False
        self.midnight = True

    def add(self, value: Any) -> None:
        """Add the value of one more row; empty values are ignored."""
        if isinstance(value, list):
            self.is_list = True
            self.rows += 1
            return
        text = value if isinstance(value, str) else _text(value)
        if self._trim:
            text = text.strip()
        if hash(text) in self._known:
            self._repeats |= self.rows < _MAX_KNOWN
            self._count(text)
            return
        stripped = text.strip()
        if stripped in _NOT_VALUES or _NEVER.fullmatch(stripped):
            self.not_values.add(text)
        elif stripped:
            self._count(text)
            self._look_at(text, stripped)

    @property
    def is_padded(self) -> bool:
        """Whether its name, or half of its different values, have spaces around them."""
        name = shown(self.path)
        return name != name.strip() or (self._padded > 0 and 2 * self._padded >= self._looked_at)

    @property
    def is_unique(self) -> bool:
        """Whether no value of the first 20,000 rows repeats."""
        return self.rows > 0 and not self._repeats

    @property
    def formats(self) -> list[str]:
        """The date formats that fit all values."""
        return list(dict.fromkeys(name for name, _, _ in self._dates or ())) if self._has_dates else []

    @property
    def zone(self) -> str:
        """The zone that fits the short zone names of all dates; UTC if dates have none."""
        return next((zone for _, zone, _ in self._dates or ()), "UTC")

    @property
    def kind(self) -> str:
        """What all values are: date, list, bool, int, whole (a float without a fraction), float, one of
        NUMBER_SIGNS, time (of day), hhmm (its digits alone) or str."""
        if self.is_list:
            return "list"
        if self.formats:
            return "date"
        if self._is_bool():
            return "bool"
        return next(iter(self.number_kinds), "str")

    @property
    def number_kinds(self) -> list[str]:
        """All kinds of numbers and times of day that fit the values, the most likely first."""
        return [kind for kind, _ in self._kinds] if self.rows else []

    def _is_bool(self) -> bool:
        """Whether all values are true or false, or two words for these, such as yes and no."""
        words = {value.strip().lower() for value in self.values or ()}
        meanings = {BOOLS.get(word) for word in words}
        return bool(words) and (words <= {"true", "false"} or meanings == {True, False}) and words.isdisjoint("01")

    def _count(self, text: str) -> None:
        self.rows += 1
        if self.values is not None:
            self.values[text] = self.values.get(text, 0) + 1
            if len(self.values) > MAX_VALUES:
                self.values = None

    def _look_at(self, text: str, stripped: str) -> None:
        """Examine a text that is new, or was not remembered because there were too many."""
        self._looked_at += 1
        self._padded += text != stripped
        if len(self.samples) < 3 and text not in self.samples:
            self.samples.append(text)
        if len(self._known) < _MAX_KNOWN:
            self._known.add(hash(text))
            self._kinds = [(kind, form) for kind, form in self._kinds if form.fullmatch(stripped)]
            self._try_dates(stripped)

    def _try_dates(self, text: str) -> None:
        if self._dates is None:
            names = _formats_of(text) if any(map(str.isdigit, text)) else ()
            self._dates = [(name, zone, date_converter(name, zone)) for name, zone in names]
        kept = []
        for name, zone, convert in self._dates:
            if text == "0" and name in _EPOCHS:
                kept.append((name, zone, convert))  # no date yet
            elif (date := _date(name, convert, text)) is not None:
                kept.append((name, zone, convert))
                self._has_dates = True
                self.midnight = self.midnight and (date.hour, date.minute, date.second) == (0, 0, 0)
        self._dates = kept


def _formats_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the formats to try on a column that begins with `text`, each with its zone."""
    yield from ((name, "UTC") for name in (*_LIKE, *_of_shape(text)))
    offset, named = _OFFSET.search(text), _NAMED_ZONE.search(text)
    if offset is not None:
        yield from ((f"{name} {offset.group(1) or ''}%z", "UTC") for name in _of_shape(text[: offset.start()]))
    elif named is not None:
        before, after = text[: named.start()], text[named.end() :]
        zones = _LIKELY_ZONES if named.group(1).isalpha() and named.group(1) not in ("UTC", "GMT") else ("UTC",)
        names = [name.removesuffix(" %Y") + " %Z" + " %Y" * bool(after) for name in _of_shape(before + after)]
        yield from ((name, zone) for zone in zones for name in names)


def _of_shape(text: str) -> list[str]:
    """Return the formats of the shape of `text`, which may begin with a day of the week."""
    names, weekday = _BY_SHAPE.get(_shape(text), []), _WEEKDAY.match(text)
    if names or weekday is None:
        return names
    return [f"%a{weekday.group(2)}{name}" for name in _BY_SHAPE.get(_shape(text[weekday.end() :]), [])]


def _date(name: str, convert: Converter, text: str) -> datetime | None:
    if name in _LIKE and not _LIKE[name].match(text):
        return None
    try:
        date: datetime = convert(text)
    except BadValueError:
        return None
    # A number that would be a date long ago, or far ahead, is a number.
    return None if name in _EPOCHS and not 2000 <= date.year <= 2100 else date


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date | time) else str(value)


def flat(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the single values of a row with their keys; of a list of objects, the values of the first."""
    for key, value in values.items():
        path = (*above, key)
        if isinstance(value, dict) and len(path) < _MAX_DEPTH:
            yield from flat(value, path)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from flat(value[0], (*path, "0"))
        elif not isinstance(value, dict):
            yield path, value


def column_path(keys: tuple[str, ...]) -> ColumnPath:
    """Return the path as a mapping writes it: a list if one of several keys contains a dot."""
    if len(keys) == 1:
        return keys[0]
    return list(keys) if any("." in key for key in keys) else ".".join(keys)
