"""Files that hold no rows of text, whatever their names say: load, check and draft say what they are."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading import preview
from alert_pipelines.loading.draft import draft_mapping

from .mappings import FLEET, mapping

BYTES = bytes(range(256))


def look(path: Path) -> object:
    return preview(path, mapping(FLEET))


@pytest.mark.parametrize("read", [look, draft_mapping], ids=["load", "draft"])
@pytest.mark.parametrize(
    ("beginning", "told"),
    [
        (b"\x89PNG\r\n\x1a\n", "seems to be a picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "seems to be a picture"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "seems to be a PDF document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel .*Save it as .xlsx"),
        (b"PK\x03\x04", "ZIP archive"),
        (b"BZh91AY&SY", "an archive. Unpack it"),
        (gzip.compress(b"id,source\n", mtime=0), "packed twice by gzip"),
        (b"<!DOCTYPE html>\n<html><p>Please, log in; thanks", "a web page, such as a login page"),
        (b"\xef\xbb\xbf\r\n<HTML><body>", "a web page"),
        (b"<table><tr><th>id</th></tr>", "a table in HTML. Open it in a spreadsheet"),
        (b'<?xml version="1.0"?>\n<alerts>\n', "XML"),
    ],
)
def test_a_file_of_another_kind_was_told_by_its_columns(
    tmp_path: Path, beginning: bytes, told: str, read: Callable[[Path], object]
) -> None:
    for name, content in (("plain.csv", beginning + BYTES), ("packed.csv.gz", gzip.compress(beginning + BYTES))):
        if beginning.startswith(b"\x1f\x8b") and name == "plain.csv":
            continue  # packed once, which is what is loaded
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LoadError, match=f"{name} seems to be .*{told.removeprefix('seems to be ')}"):
            read(tmp_path / name)


def test_the_draft_of_a_directory_ended_in_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="is not a regular file"):
        draft_mapping(tmp_path)
    with pytest.raises(LoadError, match="cannot be opened: Is a directory"):
        look(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        '{"id": {"0": "A1", "1": "A2"}, "at": {"0": "2026-01-01", "1": "2026-01-02"}}',
        '{"id": ["A1", "A2"], "at": ["2026-01-01", "2026-01-02"]}',
    ],
)
def test_columns_with_a_value_for_each_row_were_one_row(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(LoadError, match=r"has columns, not rows: .*to_json\(path, orient='records', lines=True\)"):
        draft_mapping(path)


@pytest.mark.parametrize(
    "content", ["ID   AT\n1    2026-01-01\n2    2026-01-02\n", "level=info id=1\nlevel=info id=2\n"]
)
def test_a_file_without_a_delimiter_was_one_column_without_a_word(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(content)
    assert "# Only one column: no delimiter was found." in draft_mapping(path)
