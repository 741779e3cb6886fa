"""Files in the layouts that people export, read as they are: delimiters, encodings, title rows, JSON documents."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading import Mapping, load_alerts
from alert_pipelines.loading.readers import BadRow, Row, read_rows
from alert_pipelines.loading.readers.json_document import MAX_VALUE
from alert_pipelines.mongo import AlertDatabase

from .mappings import from_yaml, mapping, write

FILES = Path(__file__).parent / "files"
REPORT = """
    format: csv
    alert_id: {column: Meldung}
    source_type: {constant: OVERSPEEDING}
    severity: {constant: WARNING}
    timestamp: {column: Zeit}
    dates: {format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
    metadata:
      driver_id: {column: Fahrer}
      speed: {column: Geschwindigkeit, type: float}
"""
IDS: dict[str, Any] = {
    "alert_id": {"column": "id"},
    "source_type": {"constant": "X"},
    "severity": {"constant": "INFO"},
    "timestamp": {"column": "at"},
}


def loaded(db: AlertDatabase, name: str, declared: Mapping) -> dict[str, Any]:
    report = load_alerts(db, FILES / name, declared)
    assert report.rows_rejected == 0, report.reject_reasons
    return {alert["alert_id"]: alert for alert in db.alerts.find()}


def ids(path: Path, **declared: Any) -> list[Any]:
    rows = read_rows(path, mapping(IDS, **declared))
    return [row.values["id"] if isinstance(row, Row) else row.reason for row in rows]


def refusal(path: Path, declared: Mapping) -> str:
    with pytest.raises(LoadError) as caught:
        list(read_rows(path, declared))
    return str(caught.value)


def test_a_spreadsheet_with_semicolons_decimal_commas_and_cp1252_is_loaded(db: AlertDatabase, tmp_path: Path) -> None:
    csv = """
    encoding: cp1252
    csv: {delimiter: ";"}
    numbers: {decimal: ",", thousands: "."}
    """
    alerts = loaded(db, "excel_semicolon_cp1252.csv", from_yaml(tmp_path, REPORT + csv))
    assert [alerts[name]["metadata"]["speed"] for name in ("M1", "M2")] == [87.5, 1087.5]
    assert alerts["M1"]["metadata"]["driver_id"] == "Müller"
    assert alerts["M2"]["timestamp"] == datetime(2026, 11, 20, 13, tzinfo=UTC)


def test_a_header_in_another_encoding_was_told_as_a_column_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("Größe;id\n1;A\n".encode("cp1252"))
    told = refusal(path, mapping(IDS, format="csv", csv={"delimiter": ";"}, alert_id={"column": "Größe"}))
    assert "alert_id.column: no column 'Größe'" in told
    assert "The file is not valid utf-8: write its encoding, such as encoding: cp1252" in told


def test_a_header_below_titles_is_found_where_the_mapping_says(db: AlertDatabase, tmp_path: Path) -> None:
    alerts = loaded(db, "title_rows.csv", from_yaml(tmp_path, REPORT + "    csv: {header_line: 4}\n"))
    assert alerts["M1"]["metadata"] == {"driver_id": "K", "speed": 87.5}


def test_tabs_in_utf_16_are_read(db: AlertDatabase, tmp_path: Path) -> None:
    declared = from_yaml(tmp_path, REPORT + '    csv: {delimiter: "\\t"}\n    encoding: utf-16\n')
    assert list(loaded(db, "utf16.tsv", declared)) == ["M1"]


@pytest.mark.parametrize(
    ("name", "written", "hint"),
    [
        ("excel_semicolon_cp1252.csv", "", """The delimiter seems to be ';': write csv: {delimiter: ";"}"""),
        ("title_rows.csv", "", "The header seems to be line 4: write csv: {header_line: 4}"),
        ("utf16.tsv", "", "seems to be UTF-16, and the mapping reads it as utf-8: write encoding: utf-16"),
        ("utf16.tsv", "    encoding: utf-16", 'write csv: {delimiter: "\\t"}'),
        ("pagerduty_incidents.csv", '    csv: {delimiter: ";"}', "no column 'Meldung'"),
        ("opsgenie_alerts.jsonl", "", "The file seems to be JSON: write format: json"),
    ],
)
def test_a_wrong_guess_of_the_layout_did_not_say_what_it_saw(
    tmp_path: Path, name: str, written: str, hint: str
) -> None:
    assert hint in refusal(FILES / name, from_yaml(tmp_path, REPORT + written))


@pytest.mark.parametrize(
    ("decimal", "thousands", "text", "number"),
    [
        (",", ".", "1.087,5", 1087.5),
        (",", ".", "-1.000.000", -1e6),
        (",", None, "87,5", 87.5),
        (",", None, "87.5", None),
        (",", ".", "1.08", None),
        (".", ",", "1,087.5", 1087.5),
        (".", ",", "1,08", None),
        (",", " ", "1\u00a0087,5", 1087.5),
        (",", " ", "1 087,5", 1087.5),
        (".", "'", "1'087.5", 1087.5),
        (".", None, "87,5", None),
    ],
)
def test_numbers_are_read_by_their_signs(
    db: AlertDatabase, tmp_path: Path, *, decimal: str, thousands: str | None, text: str, number: float | None
) -> None:
    declared = mapping(
        IDS,
        format="csv",
        csv={"delimiter": ";"},
        numbers={"decimal": decimal, "thousands": thousands},
        metadata={"speed": {"column": "v", "type": "float"}},
    )
    path = write(tmp_path / "a.csv", f"id;at;v\nA;2026-01-01;{text}\n")
    load_alerts(db, path, declared, reject_path=tmp_path / "bad.jsonl")
    found = db.alerts.find_one()
    assert (found and found["metadata"]["speed"]) == number


def test_another_quote_or_none_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id|at\n'A|\"'|x\n")
    assert ids(path, format="csv", csv={"delimiter": "|", "quote": "'"}) == ['A|"']
    path = write(tmp_path / "b.csv", 'id|at\n"A|x\n"B"|x\n')
    assert ids(path, format="csv", csv={"delimiter": "|", "quote": "none"}) == ['"A', '"B"']


def test_gzip_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "export"
    path.write_bytes(gzip.compress(b'[{"id": "A"}]'))
    assert ids(path, format="json") == ["A"]


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_read_with_the_line_of_each_row(tmp_path: Path, indent: int | None) -> None:
    rows = [{"id": f"A{n}", "note": "x" * (n % 700)} for n in range(3_000)]
    path = write(tmp_path / "a.json", json.dumps(rows, indent=indent))
    read = list(read_rows(path, mapping(IDS, format="json")))
    assert [row.values for row in read if isinstance(row, Row)] == rows
    assert read[2_999].line == (12_000 - 2 if indent else 1)
    assert json.loads(read[7].text) == rows[7]


def test_rows_at_a_path_are_read_and_what_stands_around_them_is_not(tmp_path: Path) -> None:
    document = {"head": {"alerts": [{"id": "no"}]}, "data": {"x": 1, "the.alerts": [{"id": "A"}, 7, {"id": "B"}]}}
    path = write(tmp_path / "a.json", json.dumps({**document, "tail": [1, 2]}))
    expected = ["A", "a int where an object is expected", "B"]
    assert ids(path, format="json", rows=["data", "the.alerts"]) == expected
    assert ids(path, format="jsonl", rows=["data", "the.alerts"]) == expected
    assert ids(path, format="json", rows="head.alerts") == ["no"]


@pytest.mark.parametrize(
    ("content", "rows", "complaint"),
    [
        ('{"alerts": [], "x": [], "y": 1}', None, "write rows: KEY, the key that holds them (lists here: alerts, x)"),
        ('{"alerts": []}', "alert", "has nothing at rows: alert. Keys there: alerts"),
        ('{"alerts": {"a": 1}}', "alerts", "rows: alerts is an object, not a list. Write row_key: NAME if each of its"),
        ('{"alerts": 1}', "alerts", "rows: alerts is not a list"),
        ('{"a": {"id": "A"}}', None, "is one object, not an array: write rows: KEY"),
        ("id,at\nA,B\n", None, "not a valid JSON document of rows"),
        ('[{"id": "A"},' + " " * 200_000 + '{"id": }]', None, "line 1, column 200021: not valid JSON: Expecting value"),
        ('[\n{"id": "A"},\n{"id": }]', None, "line 3, column 8: not valid JSON: Expecting value"),
        (
            '[{"id": "A"},\n{"id": "B"}\n',
            None,
            "line 3, column 1: not valid JSON: expected ',' or ']'; got the end of the file",
        ),
        ('[{"id": "A"} {"id": "B"}]', None, "line 1, column 14: not valid JSON: expected ',' or ']'; got '{'"),
    ],
)
def test_a_document_that_is_not_one_is_refused_with_what_was_found(
    tmp_path: Path, content: str, rows: str | None, complaint: str
) -> None:
    path = write(tmp_path / "a.json", content)
    assert complaint in refusal(path, mapping(IDS, format="json", rows=rows))


def test_a_document_broken_in_the_midst_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"id": "A"}, {"id": ' + "x" * (3 * MAX_VALUE))
    rows = read_rows(path, mapping(IDS, format="json"))
    assert not isinstance(next(rows), BadRow)
    with pytest.raises(LoadError, match="not valid JSON: Expecting value"):
        next(rows)
