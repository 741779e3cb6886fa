"""Guesses the role of each column: id, source, severity, timestamp, end, status; and translates values."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alert_pipelines.loading.draft.columns import Column
from alert_pipelines.loading.paths import shown, steps

_ID = ("alert_id", "event_id", "incident_id", "id", "_id", "eventid", "fingerprint", "uuid", "guid", "uid", "number",
       "nr", "nummer", "meldung", "row_key", "ticket", "ref", "reference", "vorgang", "kennung",
       "identifier", "identifiant", "unique")  # fmt: skip
_SEVERITY = ("severity", "priority", "urgency", "criticality", "sev", "prio", "level", "impact", "priorität", "schwere",
             "schweregrad", "dringlichkeit")  # fmt: skip
_STATUS = ("status", "state", "incident_state", "zustand", "value")
_TIMESTAMP = ("timestamp", "created", "opened", "raised", "start", "triggered", "occurred", "begin", "fired", "time",
              "date", "clock", "zeit", "beginn", "at", "datum")  # fmt: skip
_UPDATED = ("updated", "modified", "changed", "change", "last")
_END = ("resolved", "closed", "ended", "end", "ends", "finished", "recovered", "recovery", "cleared", "clear", "ende",
        "completed", "resolution", "fixed", "solved", "dismissed")  # fmt: skip
_EXPIRY = ("expires", "expiry", "expiration", "expire", "valid", "until", "due")
_CLOCK = ("time", "zeit", "uhrzeit", "heure", "hora")
_SOURCE = ("source_type", "source", "type", "kind", "category", "alertname", "rule", "service")
_KEY = ("driver", "fahrer", "vehicle", "fahrzeug", "device", "host", "hostname", "asset", "truck", "unit", "service")

_WORD = r"(?<![^\W\d_])"  # a word begins here: unresolved is not resolved, yellow is not low
_CRITICAL = ("crit|krit|high|emerg|fatal|severe|extreme|disaster|major|alarm|urgent|blocker|hoch|élev|haut|alta"
             r"|red\b|rot\b")  # fmt: skip
_WARNING = "warn|med|mod|average|minor|amber|yellow|orange|abnormal|mittel|gelb|moyen"
_INFO = "info|low|notice|debug|ok|normal|green|niedrig|gering|faible|baj"
_SEVERITIES = (
    ("WARNING", rf"{_WORD}(not|non)[ _-]"),
    ("CRITICAL", rf"{_WORD}({_CRITICAL})|^(p|s|sev)?[ -]?[01]\b"),
    ("WARNING", rf"{_WORD}({_WARNING})|^(p|s|sev)?[ -]?[23]\b"),
    ("INFO", rf"{_WORD}({_INFO})|^(p|s|sev)?[ -]?[456789]\b"),
)
_ENDED = re.compile(
    rf"{_WORD}(auto[ _-]?)?(resol|clos|ok\b|recov|clear|inactive|done|fixed|solved|complete|normal|ended|dismiss|cancel"
    r"|up\b|erledigt|behoben|gelöst|beendet|geschlossen|abgeschlossen|résol|clôtur|ferm|termin|resuel|cerrad)|^0$",
    re.IGNORECASE,
)
_NOT_ENDED = re.compile(
    rf"{_WORD}(not|non|no|un|nicht|never|pending|await\w*|waiting|partial\w*|to be|needs?)(?![^\W\d_])", re.IGNORECASE
)


@dataclass(frozen=True)
class Roles:
    """The candidates for each role, the best first."""

    ids: list[Column]
    severities: list[Column]
    statuses: list[Column]
    timestamps: list[Column]
    updates: list[Column]
    ends: list[Column]
    expiries: list[Column]
    sources: list[Column]
    keys: list[Column]
    clocks: list[Column]
    """Those that hold the time of a day that stands in another column."""
    is_log: bool
    """Whether the rows of one id are updates of one alert."""


def roles_of(columns: Sequence[Column]) -> Roles:
    """Assign roles by names, then by contents. A column from the first object of a list can only be a key."""
    keys = _named([column for column in columns if column.kind in ("str", "int")], _KEY)
    columns = [column for column in columns if "0" not in steps(column.path)[1:]]
    dates = [column for column in columns if column.kind == "date"]
    texts = [column for column in columns if column.kind in ("str", "int", "whole", "hhmm")]
    few = [column for column in texts if column.values]
    statuses = _named(few, _STATUS)
    named = _named([column for column in texts if column not in statuses], _ID)
    unique = [column for column in named if column.is_unique]
    full = max((column.rows for column in columns), default=0)
    updates, ends, expiries = _named(dates, _UPDATED), _named(dates, _END), _named(dates, _EXPIRY)
    repeated = [column for column in named if column.rows == full and not column.values]
    bare_clocks = [column for column in columns if column.kind == "hhmm"]
    is_log = bool(not unique and named and statuses and dates)
    return Roles(
        ids=unique or (repeated or named if is_log else []),
        severities=[column for column in _named(few, _SEVERITY) if column not in statuses],
        statuses=statuses,
        timestamps=_starts(dates, [*updates, *ends, *expiries], full),
        updates=updates,
        ends=ends,
        expiries=expiries,
        sources=[column for column in _named(few, _SOURCE) if column not in statuses],
        keys=keys,
        clocks=[*(column for column in columns if column.kind == "time"), *_named(bare_clocks, _CLOCK)],
        is_log=is_log,
    )


def _starts(dates: Sequence[Column], later: Sequence[Column], full: int) -> list[Column]:
    first = [column for column in dates if column not in later] or list(dates)
    named = _named(first, _TIMESTAMP)
    ordered = [*named, *(column for column in first if column not in named)]
    return sorted(ordered, key=lambda column: column.rows < full)


def _named(columns: Iterable[Column], words: Sequence[str]) -> list[Column]:
    """Return the columns with one of `words` in their name: by the order of words, complete names before parts."""
    ranked = []
    for column in columns:
        name = shown(column.path).rsplit(".", 1)[-1].lower()
        parts = words_of(shown(column.path))
        found = [(index, name != word) for index, word in enumerate(words) if name == word or word in parts]
        if found:
            ranked.append((min(found, key=lambda each: (each[1], each[0])), column))
    return [column for (index, partly), column in sorted(ranked, key=lambda each: (each[0][1], each[0][0]))]


def clock_of(date: Column, roles: Roles) -> Column | None:
    """Return the column with the time of day for `date`, which has days: it is in the same rows and has a similar name.

    For the start, which may be called Date next to Time, any column in the same rows will do.
    """
    if not date.midnight:
        return None
    words = set(words_of(shown(date.path)))
    there = [clock for clock in roles.clocks if clock.rows == date.rows]
    alike = [clock for clock in there if words.intersection(words_of(shown(clock.path)))]
    return next(iter(alike or (there if date in roles.timestamps[:1] else [])), None)


def is_of_end(column: Column) -> bool:
    """Whether the column's name is about an end, such as closed_code."""
    return not set(_END).isdisjoint(words_of(shown(column.path)))


def words_of(name: str) -> list[str]:
    """Return the words of a column's name: `sys_updatedAt` is sys, updated, at."""
    return re.findall(r"[a-zäöüß]+|\d+", re.sub(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])", " ", name).lower())


def severity_of(value: str) -> str:
    """Guess CRITICAL, WARNING or INFO from the wording of the value; WARNING if it does not help."""
    found = (severity for severity, words in _SEVERITIES if re.search(words, value, re.IGNORECASE))
    return next(found, "WARNING")


def status_of(value: str) -> str:
    """Guess RESOLVED or OPEN from the wording of the value."""
    return "RESOLVED" if _ENDED.search(value) and not _NOT_ENDED.search(value) else "OPEN"
