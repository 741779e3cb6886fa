"""Layouts that trackers and spreadsheets export: each is drafted, and loads as drafted or after a line or two."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading import load_alerts, load_mapping, preview
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.mapping_parts import Layout
from alert_pipelines.loading.readers import BadRow, read_rows
from alert_pipelines.mongo import AlertDatabase

from .mappings import FLEET, mapping, write


def stored(db: AlertDatabase, path: Path, edits: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """The alerts of `path`, by id, as the mapping makes them that is drafted for it and corrected by `edits`."""
    drafted = draft_mapping(path)
    for found, instead in (edits or {}).items():
        assert found in drafted, drafted
        drafted = drafted.replace(found, instead)
    report = load_alerts(
        db, path, load_mapping(write(path.parent / "mapping.yaml", drafted)), reject_path=path.parent / "bad.jsonl"
    )
    assert report.rows_rejected == 0, report.reject_reasons
    return {alert["alert_id"]: alert for alert in db.alerts.find()}


def test_a_tracker_that_writes_a_column_for_each_label_could_not_be_loaded(db: AlertDatabase, tmp_path: Path) -> None:
    text = (
        "Issue id,Status,Created,Resolved,Labels,Labels,Comment,Labels\n"
        "7,Done,20/Mar/25 2:05 PM,20/Mar/25 3:00 PM,net,core,,dc1\n"
        "8,To Do,21/Mar/25 9:00 AM,,,,,\n"
    )
    alerts = stored(db, write(tmp_path / "jira.csv", text))
    assert alerts["7"]["metadata"]["labels_1"] == "net"
    assert (alerts["7"]["metadata"]["labels_2"], alerts["7"]["metadata"]["labels_3"]) == ("core", "dc1")
    assert (alerts["7"]["status"], alerts["8"]["status"]) == ("RESOLVED", "OPEN")


def test_a_column_that_the_header_names_twice_is_not_guessed_at(db: AlertDatabase, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,source,severity,at,driver,speed,id\nA,S,INFO,2025-01-01,D,1,B\n")
    with pytest.raises(LoadError, match=r"for alert_id.column, write 'id \(1\)' for the first, 'id \(2\)'"):
        load_alerts(db, path, mapping(FLEET))
    load_alerts(db, path, mapping(FLEET, alert_id={"column": "id (2)"}, dates={"whole_days": "true"}))
    assert [alert["alert_id"] for alert in db.alerts.find()] == ["B"]


def test_rows_that_end_with_a_delimiter_were_all_rejected(db: AlertDatabase, tmp_path: Path) -> None:
    text = "id;host;severity;at\nA;h1;high;2025-03-20 06:00:00;\nB;h2;low;2025-03-20 07:00:00;;\n"
    alerts = stored(db, write(tmp_path / "a.csv", text))
    assert [alert["metadata"]["host"] for alert in alerts.values()] == ["h1", "h2"]


@pytest.mark.parametrize("header", ["id;host;severity;at;", ";id;host;severity;at"])
def test_a_column_without_a_name_hid_the_header(db: AlertDatabase, tmp_path: Path, header: str) -> None:
    rows = ["A;h1;high;2025-03-20 06:00:00", "B;h2;low;2025-03-20 07:00:00"]
    rows = [f"{row};" if header.endswith(";") else f"{number};{row}" for number, row in enumerate(rows)]
    alerts = stored(db, write(tmp_path / "a.csv", "\n".join(["Nightly export", "", header, *rows])))
    assert [alert["severity"] for alert in alerts.values()] == ["CRITICAL", "INFO"]


@pytest.mark.parametrize(("zeros", "text"), [(0, "1742450400"), (3, "epoch_ms"), (6, "epoch_us"), (9, "epoch_ns")])
def test_epochs_of_micro_and_nanoseconds_were_no_dates_and_an_end_of_0_kept_it_from_being_one(
    db: AlertDatabase, tmp_path: Path, zeros: int, text: str
) -> None:
    unit = "0" * zeros
    path = write(tmp_path / "a.csv", f"id,clock,end\nA,1742450400{unit},0\nB,1742454000{unit},1742457600{unit}\n")
    assert text in draft_mapping(path)
    alerts = stored(db, path)
    assert [alert["timestamp"].isoformat()[:16] for alert in alerts.values()] == [
        "2025-03-20T06:00",
        "2025-03-20T07:00",
    ]
    assert [alert["status"] for alert in alerts.values()] == ["OPEN", "RESOLVED"]


@pytest.mark.parametrize(
    "at",
    ["2025-03-20 06:00:00 UTC", "Thu, 20 Mar 2025 06:00:00 +0000", "Thu, 20 Mar 2025 06:00:00 GMT", "20250320060000"],
)
def test_dates_of_mail_of_servers_and_without_marks_were_not_known(db: AlertDatabase, tmp_path: Path, at: str) -> None:
    alerts = stored(db, write(tmp_path / "a.csv", f'id,start\nA,"{at}"\n'))
    assert alerts["A"]["timestamp"].isoformat()[:16] == "2025-03-20T06:00"


@pytest.mark.parametrize("never", ["2050-01-01T00:00:00.000Z", "1900-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_draft_ended_alerts_in_1900_or_2050(db: AlertDatabase, tmp_path: Path, never: str) -> None:
    text = f"id,start,end\nA,2025-03-20T06:00:00Z,{never}\nB,2025-03-20T06:00:00Z,2025-03-20T07:00:00Z\n"
    alerts = stored(db, write(tmp_path / "a.csv", text))
    assert [alert["status"] for alert in alerts.values()] == ["OPEN", "RESOLVED"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_had_no_rows(db: AlertDatabase, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("id\tstart\tnote\nA\t2025-03-20 06:00:00\tMüller\n".encode(encoding))
    assert stored(db, path)["A"]["metadata"]["note"] == "Müller"


def test_a_document_longer_than_what_is_looked_at_was_taken_for_json_lines(tmp_path: Path) -> None:
    alert = {"id": "A", "start": "2025-03-20T06:00:00Z", "note": "x]{" * 1_000_000, "tags": [{"k": "v"}]}
    document = {
        "meta": {"n": [1], "by": "a\\"},
        "data": {"page": {"n": 1}, "alerts": [{**alert, "id": n} for n in range(6)]},
    }
    path = write(tmp_path / "a.json", json.dumps(document, indent=1))
    assert "format: json\nrows: data.alerts\n" in draft_mapping(path)


@pytest.mark.parametrize("above", [[], ["export", "alerts"]])
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_that_stand_each_under_a_key_could_not_be_loaded(
    db: AlertDatabase, tmp_path: Path, above: list[str], indent: int | None
) -> None:
    rows: Any = {f"-Nx{n}": {"severity": "high", "createdAt": f"2025-03-20T0{n}:00:00Z"} for n in range(3)}
    for key in reversed(above):
        rows = {"at": "2025-03-21", key: rows}
    path = write(tmp_path / "firebase.json", json.dumps(rows, indent=indent))
    alerts = stored(db, path)
    assert [(name, alert["timestamp"].hour) for name, alert in alerts.items()] == [
        ("-Nx0", 0),
        ("-Nx1", 1),
        ("-Nx2", 2),
    ]
    assert "row_key: row_key" in draft_mapping(path)


def test_a_value_under_a_key_that_is_no_row_is_rejected_and_the_others_are_loaded(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json", '{"A": {"at": "2025-03-20", "id": "x"},\n "version": 2,\n "B": {"at": "2025-03-21"}}'
    )
    changes = {"severity": {"constant": "INFO"}, "source_type": {"constant": "X"}, "metadata": {}}
    found = preview(path, mapping(FLEET, format="json", row_key="id", **changes))
    assert [alert["alert_id"] for alert in found.alerts] == ["A", "B"]
    assert [str(reason) for reason in found.reject_reasons] == ["1 × not a JSON object (first: line 2)"]


@pytest.mark.parametrize("indent", [2, None])
def test_objects_one_after_the_other_as_jq_prints_them_could_not_be_loaded(
    db: AlertDatabase, tmp_path: Path, indent: int | None
) -> None:
    rows = [{"id": f"J{n}", "severity": "high", "created": f"2025-03-20 0{n}:00:00"} for n in range(3)]
    path = write(tmp_path / "jq.json", ("\n" if indent else "").join(json.dumps(row, indent=indent) for row in rows))
    assert [(name, alert["timestamp"].hour) for name, alert in stored(db, path).items()] == [
        ("J0", 0),
        ("J1", 1),
        ("J2", 2),
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv.gz", gzip.compress(b"id,start\nA,2025-03-20\n", mtime=0)[:-12], "is cut off, or not valid gzip"),
        ("b.csv.gz", b"id,start\nA,2025-03-20\n", "is not a valid gzip file: its name ends in .gz"),
        ("a.json", b'{"alerts": [\n{"id": "A"},\n{"id": "B"', "line 3.*: not valid JSON"),
        ("a.csv", b"\x13MDB\0\0\0\x01", "is not a text in utf-8: it holds zero bytes"),
        ("b.csv", b"id,start\nA\n", "has no rows to draft a mapping from: line 2 is 1 values for 2 columns"),
    ],
)
def test_a_draft_of_a_broken_file_told_nothing_of_its_fault(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LoadError, match=told) as caught:
        draft_mapping(path)
    assert "Rows before it are loaded" not in str(caught.value)


@pytest.mark.parametrize("days", [("20.03.2025", "21.03.2025"), ("2025-03-20", "2025-03-21")])
def test_an_end_in_two_columns_was_not_seen_and_iso_days_with_a_clock_stayed_at_midnight(
    db: AlertDatabase, tmp_path: Path, days: tuple[str, str]
) -> None:
    text = "EventID,Date,Time,Clear Date,Clear Time\n1,{0},06:15:00,{1},07:30:00\n2,{0},06:20:00,,\n".format(*days)
    alerts = stored(db, write(tmp_path / "a.csv", text))
    assert [alert["timestamp"].isoformat()[:16] for alert in alerts.values()] == [
        "2025-03-20T06:15",
        "2025-03-20T06:20",
    ]
    assert (alerts["1"]["status"], alerts["1"]["resolved_at"].isoformat()[:16]) == ("RESOLVED", "2025-03-21T07:30")
    assert alerts["2"]["status"] == "OPEN"


def test_what_stood_in_the_first_of_a_list_was_taken_for_the_beginning_and_the_status(
    db: AlertDatabase, tmp_path: Path
) -> None:
    row = {"id": "A", "created_at": "2025-03-20T06:00:00Z", "assigned": [{"at": "2025-03-20T09:00:00Z"}]}
    rows = [{**row, "tags": [{"value": "closed"}]}, {**row, "id": "B", "tags": [{"value": "x"}]}]
    alerts = stored(db, write(tmp_path / "a.json", json.dumps(rows)))
    assert {(alert["status"], alert["timestamp"].hour) for alert in alerts.values()} == {("OPEN", 6)}


@pytest.mark.parametrize("header", ["Problem,Time,Recovery time", "Nr,Beginn,Ende"])
def test_an_end_by_another_word_left_closed_alerts_open(db: AlertDatabase, tmp_path: Path, header: str) -> None:
    text = f"{header}\n1,2025-03-20 06:00:00,2025-03-20 07:00:00\n2,2025-03-20 06:00:00,\n"
    statuses = [alert["status"] for alert in stored(db, write(tmp_path / "a.csv", text)).values()]
    assert sorted(statuses) == ["OPEN", "RESOLVED"]


ROWS = [["A", "h1", "high", "2025-03-20T06:00:00Z"], ["B", "h2", "low", "2025-03-20T07:00:00Z"]]
COLUMNS = ["id", "host", "severity", "at"]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([COLUMNS, *ROWS]),
        json.dumps([COLUMNS, *ROWS], indent=1),
        "".join(json.dumps(row) + "\n" for row in [COLUMNS, *ROWS]),
        json.dumps({"fields": COLUMNS, "rows": ROWS}),
        json.dumps({"result": {"rows": ROWS, "cols": [{"name": name, "type": "text"} for name in COLUMNS]}}),
        json.dumps({"meta": {"view": {"columns": [{"fieldName": name} for name in COLUMNS]}}, "data": ROWS}),
    ],
    ids=["named_by_the_first", "over_lines", "one_a_line", "named_beside", "described_beside", "described_above"],
)
def test_rows_that_are_lists_were_all_rejected(db: AlertDatabase, tmp_path: Path, text: str) -> None:
    alerts = stored(db, write(tmp_path / "a.json", text))
    assert {name: alert["severity"] for name, alert in alerts.items()} == {"A": "CRITICAL", "B": "INFO"}
    assert [alert["metadata"]["host"] for alert in alerts.values()] == ["h1", "h2"]


def test_rows_that_are_lists_and_have_no_names_get_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps({"values": [[1, 87.5], [2, 91.0]]}))
    assert "rows: values\nrow_columns: [column_1, column_2]" in draft_mapping(path)


@pytest.mark.parametrize(
    ("row_columns", "row", "reason"),
    [
        (None, ROWS[1], "a list where an object is expected: write row_columns for rows that are lists"),
        (COLUMNS, ROWS[1][:3], "a list of 3 values, where row_columns has 4 names"),
        (COLUMNS, "B", "a str where an object is expected"),
    ],
)
def test_a_list_that_does_not_fit_its_columns_is_rejected(
    tmp_path: Path, row_columns: list[str] | None, row: Any, reason: str
) -> None:
    layout = Layout(format="json", row_columns=row_columns)
    rows = list(read_rows(write(tmp_path / "a.json", json.dumps([row])), layout))
    assert [each.reason for each in rows if isinstance(each, BadRow)] == [reason]


def test_a_first_row_that_names_no_columns_is_said_and_nothing_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps([[1, 2], [3, 4]]))
    with pytest.raises(LoadError, match="line 1: row_columns: first: the first row does not hold names of columns"):
        list(read_rows(path, Layout(format="json", row_columns="first")))


def test_the_days_of_a_spreadsheet_were_no_dates(db: AlertDatabase, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,at,km\nA,45731.2604166667,120.5\nB,45731.3020833333,87.5\nC,45732,9.5\n")
    hint = "# A spreadsheet's days? {column: at, format: excel}"
    assert hint in draft_mapping(path)
    alerts = stored(db, path, {"{column: WHICH}": "{column: at, format: excel}"})
    assert [f"{alert['timestamp']:%d.%m.%Y %H:%M}" for alert in alerts.values()] == [
        "15.03.2025 06:15",
        "15.03.2025 07:15",
        "16.03.2025 00:00",
    ]
