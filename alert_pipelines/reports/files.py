"""What all reports share: an HTML page that needs nothing else, and how a report becomes a file."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

from alert_pipelines.errors import ReportFileError
from alert_pipelines.files import is_special, write_file
from alert_pipelines.reports.plots import data_uri

_LONGEST_LINE = 30
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } caption { text-align: left; font-weight: bold }
th, td { border: 1px solid #ccc; padding: .2em .5em; text-align: right } th:first-child { text-align: left }
td:first-child { text-align: left } td { white-space: nowrap } td.long { white-space: normal; text-align: left }
div { overflow-x: auto } img { max-width: 100%; height: auto }
"""


def html_page(title: str, parts: Iterable[str]) -> str:
    """A page of `parts`, which are HTML already."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return "\n".join(
        [f'<!DOCTYPE html><html lang="en"><head>{head}</head><body><h1>{escape(title)}</h1>', *parts, "</body></html>"]
    )


def html_table(caption: str, headings: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts; one that is not long, such as a date or a duration, is one line."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f"<div><table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table></div>"


def _cell(text: str) -> str:
    return f"<td{' class=long' if len(text) > _LONGEST_LINE else ''}>{escape(text)}</td>"


def html_picture(title: str, svg: str) -> str:
    """A plot, drawn within the page and apart from it."""
    return f'<div><img alt="{escape(title)}" src="{data_uri(svg)}"></div>'


def refuse_unwritable(path: Path) -> None:
    """Raise ReportFileError where `path` cannot be written, to be asked before what takes long; it stays as it is."""
    if is_special(path) and not path.is_dir():
        # A pipe would wait here for its reader.
        return
    is_new = not path.exists()
    with _writing(path):
        path.open("ab").close()
        if is_new:
            # Through a link that leads nowhere yet: the link stays.
            path.resolve().unlink()


def write_report(path: Path, content: str | bytes) -> None:
    """Write a report as `write_file` does, and make its directory. Raises ReportFileError."""
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportFileError(
            f"{path} cannot be written: {error.strerror or error}. Name a place that can be, or make room there."
        ) from error
