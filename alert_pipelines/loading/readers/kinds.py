"""Recognizes files that have no rows of text, such as pictures and archives, by their first bytes."""

from pathlib import Path

from alert_pipelines.errors import LoadError

_EXPORT = "Export the alerts as CSV, JSON, Excel or Parquet"
_PICTURE, _ARCHIVE = f"a picture. {_EXPORT}", "an archive. Unpack it first"
_PAGE = "a web page, such as a login page in place of the export. Fetch the export again"
_TABLE = "a table in HTML. Open it in a spreadsheet, and save it as .xlsx or CSV"
_KINDS = {
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"GIF8": _PICTURE,
    b"%PDF-": f"a PDF document. {_EXPORT}",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel (.xls). Save it as .xlsx, and write format: xlsx",
    b"PK\x03\x04": "an Excel workbook, or a ZIP archive. Write format: xlsx, or unpack it first",
    b"PAR1": "a Parquet file. Write format: parquet",
    b"\x1f\x8b": "packed twice by gzip. Unpack it once",
    b"BZh91AY": _ARCHIVE,
    b"\xfd7zXZ\0": _ARCHIVE,
    b"7z\xbc\xaf": _ARCHIVE,
    b"\x28\xb5\x2f\xfd": _ARCHIVE,
    b"SQLite format 3\0": f"an SQLite database. {_EXPORT}",
}
_TEXTS = {b"<!doctype html": _PAGE, b"<html": _PAGE, b"<table": _TABLE, b"<?xml": f"XML, which is not read. {_EXPORT}"}
_MARKS = b"\xef\xbb\xbf \t\r\n"


def refuse_other_kinds(path: Path, beginning: bytes) -> None:
    """Raise LoadError if a file with this beginning, unpacked, cannot have rows of text."""
    text = beginning.lstrip(_MARKS).lower()
    found = next((kind for mark, kind in _KINDS.items() if beginning.startswith(mark)), None)
    found = found or next((kind for mark, kind in _TEXTS.items() if text.startswith(mark)), None)
    if found is not None:
        raise LoadError(f"{path} seems to be {found}.")
