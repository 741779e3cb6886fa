"""Translates words in dates for strptime: months in several languages, days of the week, a.m. and p.m."""

import functools
import re
import unicodedata
from collections.abc import Callable

_MONTHS = {
    "Jan": "january januar janner janvier enero gennaio januari janeiro",
    "Feb": "february februar feber fevrier febrero febbraio februari fevereiro",
    "Mar": "march marz maerz mrz mars marzo maart mrt marco",
    "Apr": "april avril abril aprile",
    "May": "may mai mayo maggio mei maio",
    "Jun": "june juni juin junio giugno junho",
    "Jul": "july juli juillet julio luglio julho",
    "Aug": "august aout agosto augustus",
    "Sep": "september septembre septiembre setiembre settembre setembro",
    "Oct": "october oktober octobre octubre ottobre outubro",
    "Nov": "november novembre noviembre novembro",
    "Dec": "december dezember decembre diciembre dicembre dezembro",
}
_WORD = re.compile(r"[^\W\d_]{3,}\.?")
_WEEKDAY = re.compile(r"[^\W\d_]+[.,]*\s+")
_WEEKDAY_FORMAT = re.compile(r"%[aA][.,]*\s+")
HALF_OF_DAY = re.compile(r"([ap])\.?\s?m\b\.?", re.IGNORECASE)
_REMARK = re.compile(r"\s*\([^()]*\)$")


def plain_words(date_format: str) -> tuple[str, Callable[[str], str]]:
    """Return `date_format` with English words only, and a function that converts a text to this format.

    Months may be in English, German, French, Spanish, Italian, Dutch or Portuguese, complete or abbreviated to three
    letters or more, with or without a dot. A day of the week at the beginning and a remark in brackets at the end are
    ignored.
    """
    plain = _WEEKDAY_FORMAT.sub("", date_format, count=1)
    has_weekday, has_half, has_month = plain != date_format, "%p" in plain, "%b" in plain or "%B" in plain

    has_remark = plain.endswith(")")

    def words(text: str) -> str:
        if not has_remark and text.endswith(")"):
            text = _REMARK.sub("", text)
        if has_weekday:
            text = _WEEKDAY.sub("", text, count=1)
        if has_month:
            text = _WORD.sub(lambda word: month_of(word.group()) or word.group(), text)
        return HALF_OF_DAY.sub(r"\1m", text) if has_half else text

    return re.sub(r"%[bB]\.?", "%b", plain), words


@functools.lru_cache(maxsize=256)
def month_of(word: str) -> str | None:
    """Return strptime's name of the month that `word` names or abbreviates; None if it names none or several."""
    letters = "".join(each for each in unicodedata.normalize("NFD", word.lower()) if each.isalpha())
    found = [month for month, names in _MONTHS.items() if any(name.startswith(letters) for name in names.split())]
    return found[0] if len(found) == 1 else None
