"""Finds the rows of a JSON document by its beginning."""

import json
import re
from collections.abc import Iterator

from alert_pipelines.loading.paths import finder

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|[{}\[\]:]')
_OBJECT = re.compile(r"\s*\{")


def lists_of_objects(beginning: str) -> Iterator[list[str]]:
    """Yield the paths of keys that lead to lists of objects, in the order of the file."""
    path: list[str] = []
    text = ""
    for token in _TOKEN.finditer(beginning):
        match token.group():
            case "{":
                path.append("")
            case "}" if path:
                path.pop()
            case ":" if path:
                path[-1] = text
            case "[" if _OBJECT.match(beginning, token.end()):
                yield list(path)
            case _:
                text = token.group(1) or ""


def is_document(beginning: str, rows: list[str]) -> bool:
    """Return whether a text with this beginning is one JSON document: an array, or an object with a list at `rows`."""
    if not beginning.lstrip().startswith("{"):
        return beginning.lstrip().startswith("[")
    try:
        whole = json.loads(beginning)
    except (ValueError, RecursionError):
        return rows in lists_of_objects(beginning)
    return isinstance(finder(rows)(whole), list)
