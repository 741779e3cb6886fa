import gzip
import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.alerts import Alert
from alert_pipelines.loading import LoadError, LoadReport, load_alerts
from alert_pipelines.mongo import AlertDatabase

from .mappings import FLEET, mapping, write

EXPORT = """
    id,source,severity,at,driver,speed
    A,OVERSPEEDING,WARNING,2025-01-15T10:00:00,D1,92.5
    B,TYRES,INFO,2025-01-15T12:00:00+02:00,,
    C,SAFETY,CRITICAL,2025-01-16,D2,0
"""
MORNING = datetime(2025, 1, 15, 10, tzinfo=UTC)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path / "export.csv", EXPORT)


def counts(report: LoadReport) -> tuple[int, int, int, int, int]:
    """Rows read, alerts inserted, already there, rows rejected, after until."""
    return (
        report.rows_read,
        report.alerts_inserted,
        report.alerts_already_there,
        report.rows_rejected,
        report.rows_after_until,
    )


def ids(db: AlertDatabase) -> list[str]:
    return sorted(alert["alert_id"] for alert in db.alerts.find())


def rejects(report: LoadReport) -> list[dict[str, Any]]:
    assert report.reject_path is not None
    return [json.loads(line) for line in report.reject_path.read_text().splitlines()]


def test_a_row_becomes_an_open_alert_of_the_contract(db: AlertDatabase, export: Path) -> None:
    report = load_alerts(db, export, mapping(FLEET))
    assert counts(report) == (3, 3, 0, 0, 0)
    assert report.seconds > 0
    assert db.alerts.find_one({"alert_id": "A"}, {"_id": False}) == {
        "alert_id": "A",
        "source_type": "OVERSPEEDING",
        "severity": "WARNING",
        "status": "OPEN",
        "timestamp": MORNING,
        "metadata": {"driver_id": "D1", "speed": 92.5},
        "state_history": [],
        "escalated_at": None,
        "closed_at": None,
        "resolved_at": None,
        "auto_close_reason": None,
        "expires_at": None,
        "resolved_by": None,
        "resolution_notes": None,
        "created_at": MORNING,
        "updated_at": MORNING,
    }
    assert db.alerts.count_documents({"timestamp": {"$type": "date"}}) == 3
    for alert in db.alerts.find():
        assert set(alert) - {"_id"} == set(Alert.model_fields)
        Alert.model_validate(alert)


def test_missing_values_are_left_out_and_an_unknown_source_is_legal(db: AlertDatabase, export: Path) -> None:
    load_alerts(db, export, mapping(FLEET, missing=["D2", "0"]))
    alerts = {alert["alert_id"]: alert for alert in db.alerts.find()}
    assert (alerts["B"]["source_type"], alerts["B"]["metadata"]) == ("TYRES", {})
    assert alerts["C"]["metadata"] == {}


def test_a_second_load_inserts_nothing_and_leaves_what_is_there(db: AlertDatabase, export: Path) -> None:
    load_alerts(db, export, mapping(FLEET))
    db.alerts.update_one({"alert_id": "A"}, {"$set": {"status": "RESOLVED"}})
    assert counts(load_alerts(db, export, mapping(FLEET))) == (3, 0, 3, 0, 0)
    assert db.alerts.find_one({"alert_id": "A"}, {"status": True, "_id": False}) == {"status": "RESOLVED"}


def test_the_collection_gets_its_indexes_first(bare_db: AlertDatabase, export: Path) -> None:
    load_alerts(bare_db, export, mapping(FLEET))
    assert "alert_id_unique" in bare_db.alerts.index_information()


def test_an_id_that_comes_twice_is_there_once(db: AlertDatabase, tmp_path: Path) -> None:
    path = write(tmp_path / "export.csv", EXPORT + "    A,SAFETY,INFO,2025-01-17,D9,1\n")
    assert counts(load_alerts(db, path, mapping(FLEET))) == (4, 3, 1, 0, 0)
    assert counts(load_alerts(db, path, mapping(FLEET), batch_size=2)) == (4, 0, 4, 0, 0)
    assert db.alerts.count_documents({"alert_id": "A", "source_type": "OVERSPEEDING"}) == 1


@pytest.mark.parametrize(
    ("until", "loaded"),
    [
        (MORNING - timedelta(milliseconds=1), []),
        (MORNING, ["A", "B"]),
        (MORNING.replace(tzinfo=None), ["A", "B"]),
        (datetime(2025, 1, 16, tzinfo=UTC), ["A", "B", "C"]),
    ],
)
def test_an_alert_at_until_is_loaded_one_after_it_is_not(
    db: AlertDatabase, export: Path, until: datetime, loaded: list[str]
) -> None:
    report = load_alerts(db, export, mapping(FLEET), until=until)
    assert ids(db) == loaded
    assert counts(report) == (3, len(loaded), 0, 0, 3 - len(loaded))


def test_bad_rows_are_rejected_with_line_and_reason_and_the_rest_is_loaded(db: AlertDatabase, tmp_path: Path) -> None:
    path = write(
        tmp_path / "export.csv",
        EXPORT
        + """
    ,SAFETY,INFO,2025-01-15,D1,1
    E,SAFETY,WARNIN,2025-01-15,D1,1
    F,SAFETY,INFO,15/1/2025,D1,1
    G,SAFETY,INFO,2025-01-15,D1,fast
    H,SAFETY
    "I,SAFETY,INFO,2025-01-15,D1,1
    J,SAFETY,INFO,2025-01-15,D1,1
""",
    )
    rejected = tmp_path / "bad.jsonl"
    report = load_alerts(db, path, mapping(FLEET), reject_path=rejected)
    assert counts(report) == (10, 4, 0, 6, 0)
    assert report.reject_path == rejected
    assert ids(db) == ["A", "B", "C", "J"]
    assert [(entry["line"], entry["reason"]) for entry in rejects(report)] == [
        (6, "column 'id' is missing or empty"),
        (7, "column 'severity': 'WARNIN' is not in the mapping; did you mean 'WARNING'?"),
        (8, "column 'at': '15/1/2025' is not a valid date: expected the form iso"),
        (9, "column 'speed': 'fast' is not a valid number"),
        (10, "2 values for 6 columns"),
        (11, "not valid CSV: unexpected end of data"),
    ]
    lines = path.read_text().splitlines()
    assert all(entry["row"] == lines[entry["line"] - 1] for entry in rejects(report))


def test_reject_reasons_are_counted_with_some_of_their_values(db: AlertDatabase, tmp_path: Path) -> None:
    lists = "".join(f'{{"id": "L{n}", "geoCode": {{"UGC": ["OHC{n}"]}}, "at": "2026-01-01"}}\n' for n in range(1200))
    wrong = "".join(f'{{"id": "N{n}", "at": "{n % 9}"}}\n' for n in range(20)) + "[1]\n{\n"
    path = write(tmp_path / "a.jsonl", '{"id": "A", "at": "2026-01-01"}\n' + lists + wrong)
    declared = mapping(
        FLEET,
        format="jsonl",
        source_type={"constant": "X"},
        severity={"constant": "INFO"},
        metadata={"ugc": {"column": "geoCode.UGC"}},
    )
    report = load_alerts(db, path, declared, reject_path=tmp_path / "bad.jsonl")
    assert [str(reason) for reason in report.reject_reasons] == [
        "1,200 × geoCode.UGC is a list (first: line 2)",
        "20 × at is not a valid date: expected the form iso: '0', '1', '2', '3', '4' (first: line 1,202)",
        "1 × not a JSON object (first: line 1,222)",
        "1 × not valid JSON (first: line 1,223)",
    ]
    assert not report.nothing_usable


def test_columns_that_no_row_had_shared_ids_and_ends_before_their_start_were_not_told(
    db: AlertDatabase, tmp_path: Path
) -> None:
    rows = [
        {"id": "A", "at": "2026-01-01T10:00:00Z", "end": "2025-01-01", "meta": {"driver": "D1"}},
        {"id": "B", "at": "2026-01-03T10:00:00Z", "meta": {}},
        {"id": "A", "at": "2026-01-02T10:00:00Z"},
        {"id": "A", "at": "2026-01-04T10:00:00Z"},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    declared = mapping(
        FLEET,
        format="jsonl",
        source_type={"constant": "X"},
        severity={"constant": "INFO"},
        expires_at={"column": "end"},
        metadata={"driver_id": {"column": "meta.driver"}, "speed": {"column": "meta.sped"}},
    )
    for batch_size in (2, 5000):
        report = load_alerts(db, path, declared, batch_size=batch_size)
        assert list(report.summary.lines()) == [
            "Timestamps from 2026-01-01T10:00:00+00:00 to 2026-01-04T10:00:00+00:00",
            "Sources: X 4",
            "Statuses: OPEN 4",
            "Severities: INFO 4",
            "Columns of the mapping with no value in any row: meta.sped",
            "2 rows share an id with an earlier row of the file (A): the first counts (or write events)",
            "1 alerts end before they start: expires_at is before timestamp",
        ]


def test_bytes_that_are_no_text_spoil_their_own_row_only(db: AlertDatabase, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    header = b"id,source,severity,at,driver,speed,note\n"
    path.write_bytes(header + b"A,SAFETY,INFO,2025-01-01,D\xff,1,\nB,SAFETY,INFO,2025-01-01,D,1,\xff\n")
    report = load_alerts(db, path, mapping(FLEET), reject_path=tmp_path / "bad.jsonl")
    assert ids(db) == ["B"]
    assert [entry["line"] for entry in rejects(report)] == [2]
    assert "not valid in the file's encoding" in rejects(report)[0]["reason"]


def test_rejects_go_to_the_working_directory_unless_told(
    db: AlertDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    content = "id,source,severity,at,driver,speed\nA\n"
    path = tmp_path / "data" / "export.csv.gz"
    path.write_bytes(gzip.compress(content.encode()))
    report = load_alerts(db, path, mapping(FLEET))
    assert report.reject_path == tmp_path / "export.rejects.jsonl"
    assert len(rejects(report)) == 1
    load_alerts(db, path, mapping(FLEET))
    assert len(rejects(report)) == 1, "a load replaces the rejects of the one before"


def test_without_rejects_no_file_is_left(db: AlertDatabase, export: Path) -> None:
    report = load_alerts(db, export, mapping(FLEET), reject_path=export.parent / "bad.jsonl")
    assert report.reject_path is None
    assert not (export.parent / "bad.jsonl").exists()


def test_a_load_that_rejects_nothing_leaves_no_earlier_reject_file(db: AlertDatabase, export: Path) -> None:
    earlier = export.parent / "bad.jsonl"
    earlier.write_text("rejects of the load before")
    load_alerts(db, export, mapping(FLEET), reject_path=earlier)
    assert not earlier.exists()


def test_a_load_that_is_refused_before_its_start_leaves_the_earlier_reject_file(
    db: AlertDatabase, export: Path
) -> None:
    earlier = export.parent / "bad.jsonl"
    earlier.write_text("rejects of the load before")
    array = write(export.parent / "array.jsonl", "[{}]\n")
    for path, declared in (
        (export.parent / "none.csv", mapping(FLEET)),
        (export, mapping(FLEET, timestamp={"column": "when"})),
        (array, mapping(FLEET, format="jsonl")),
    ):
        with pytest.raises(LoadError):
            load_alerts(db, path, declared, reject_path=earlier)
        assert earlier.read_text() == "rejects of the load before"


def test_what_is_no_plain_file_is_never_removed_for_a_reject_file(db: AlertDatabase, export: Path) -> None:
    link, pipe = export.parent / "link", export.parent / "pipe"
    link.symlink_to("/dev/null")
    os.mkfifo(pipe)
    for path in (link, pipe):
        load_alerts(db, export, mapping(FLEET), reject_path=path)
    assert link.is_symlink()
    assert pipe.is_fifo()


def test_a_reject_file_that_cannot_be_is_an_error_before_anything_is_loaded(db: AlertDatabase, export: Path) -> None:
    with pytest.raises(LoadError, match="is the file to load"):
        load_alerts(db, export, mapping(FLEET), reject_path=export)
    with pytest.raises(LoadError, match="cannot be made"):
        load_alerts(db, export, mapping(FLEET), reject_path=export.parent / "none" / "bad.jsonl")
    assert export.read_text().startswith("id,")
    assert ids(db) == []


def test_what_the_server_refuses_is_rejected_and_the_rest_is_loaded(db: AlertDatabase, export: Path) -> None:
    db.command("collMod", "alerts", validator={"source_type": {"$ne": "TYRES"}})
    report = load_alerts(db, export, mapping(FLEET), reject_path=export.parent / "bad.jsonl")
    assert counts(report) == (3, 2, 0, 1, 0)
    [reject] = rejects(report)
    assert (reject["line"], "Document failed validation" in reject["reason"]) == (3, True)
    assert json.loads(reject["row"])["alert_id"] == "B"


def test_progress_is_told_for_each_batch(db: AlertDatabase, export: Path) -> None:
    told: list[LoadReport] = []
    load_alerts(db, export, mapping(FLEET), batch_size=2, on_progress=told.append)
    assert [report.alerts_inserted for report in told][-2:] == [2, 3]
    assert [report.rows_read for report in told] == sorted(report.rows_read for report in told)


@pytest.mark.slow
def test_a_load_that_broke_off_is_taken_up_again(db: AlertDatabase, tmp_path: Path) -> None:
    rows = "".join(f"A{n},SAFETY,INFO,2025-01-01T08:00,D,1\n" for n in range(30_000))
    whole = gzip.compress(("id,source,severity,at,driver,speed\n" + rows).encode())
    path = tmp_path / "export.csv.gz"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(LoadError, match="load it again"):
        load_alerts(db, path, mapping(FLEET), batch_size=1000)
    there = db.alerts.count_documents({})
    assert 0 < there < 30_000
    path.write_bytes(whole)
    assert counts(load_alerts(db, path, mapping(FLEET))) == (30_000, 30_000 - there, there, 0, 0)


@pytest.mark.parametrize("name", ["alerts.csv", "alerts.csv.gz"])
def test_progress_did_not_tell_how_much_of_the_file_is_read(db: AlertDatabase, tmp_path: Path, name: str) -> None:
    rows = "".join(f"A{n},SAFETY,INFO,2025-01-01T08:00,D{n * n},1\n" for n in range(9_000))
    text = ("id,source,severity,at,driver,speed\n" + rows).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    shares: list[float] = []
    load_alerts(
        db, path, mapping(FLEET), batch_size=1_000, on_progress=lambda report: shares.append(report.share or 0.0)
    )
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.9
    assert shares[-1] == 1
    assert "100% of the file" in load_alerts(db, path, mapping(FLEET)).progress()


def test_a_pipe_has_no_share_that_is_read(db: AlertDatabase, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    rows = "".join(f"A{n},SAFETY,INFO,2025-01-01T08:00,D,1\n" for n in range(3_000))
    writer = threading.Thread(target=path.write_text, args=("id,source,severity,at,driver,speed\n" + rows,))
    writer.start()
    told: list[str] = []
    load_alerts(db, path, mapping(FLEET), batch_size=1_000, on_progress=lambda report: told.append(report.progress()))
    writer.join()
    assert "1,000 rows read" in told[0]
    assert "of the file" not in told[0]


def test_identical_rows_are_alerts_of_their_own(db: AlertDatabase, tmp_path: Path) -> None:
    hashed = mapping(FLEET, alert_id={"content_hash": "H"})
    row = "x,SAFETY,INFO,2025-01-01,D,1\n"
    other = row.replace("D", "E")
    path = write(tmp_path / "a.csv", "id,source,severity,at,driver,speed\n" + row + other + row + row)
    assert counts(load_alerts(db, path, hashed, batch_size=2)) == (4, 4, 0, 0, 0)
    assert [alert_id[-2:] for alert_id in ids(db)].count("-1") == 2
    assert len({alert_id.rsplit("-", 1)[0] for alert_id in ids(db)}) == 2
    path.write_text(path.read_text() + row)
    assert counts(load_alerts(db, path, hashed)) == (5, 1, 4, 0, 0)


def test_an_id_of_several_columns_takes_their_text_as_it_is(db: AlertDatabase, tmp_path: Path) -> None:
    template = mapping(FLEET, alert_id={"template": "{source}/{id} {{x}}"})
    path = write(
        tmp_path / "a.csv", "id,source,severity,at,driver,speed\n{at},S,INFO,2025-01-01,D,1\n,S,INFO,2025-01-01,D,1\n"
    )
    report = load_alerts(db, path, template, reject_path=tmp_path / "bad.jsonl")
    assert ids(db) == ["S/{at} {x}"]
    assert report.rows_rejected == 1


def test_ids_too_long_for_one_query_are_rejected_and_the_rest_is_loaded(db: AlertDatabase, tmp_path: Path) -> None:
    declared = mapping(FLEET, alert_id={"template": "{id}-{driver}"})
    rows = "".join(f"A{n},SAFETY,INFO,2025-01-01,{'x' * 3_300},1\n" for n in range(5_000))
    path = tmp_path / "a.csv"
    path.write_text(f"id,source,severity,at,driver,speed\nB,SAFETY,INFO,2025-01-01,D,1\n{rows}")
    report = load_alerts(db, path, declared, reject_path=tmp_path / "bad.jsonl")
    assert counts(report) == (5_001, 1, 0, 5_000, 0)
    assert ids(db) == ["B-D"]
    assert rejects(report)[0]["reason"] == (
        "its alert_id has 3,303 bytes, an id may have 1,024: make it of shorter columns, or use content_hash"
    )


@pytest.mark.parametrize(("alert_id", "loaded"), [("x" * 1_024, 1), ("x" * 1_025, 0), ("ü" * 513, 0)])
def test_an_id_is_measured_in_bytes(db: AlertDatabase, tmp_path: Path, alert_id: str, loaded: int) -> None:
    path = write(tmp_path / "a.csv", f"id,source,severity,at,driver,speed\n{alert_id},SAFETY,INFO,2025-01-01,D,1\n")
    report = load_alerts(db, path, mapping(FLEET), reject_path=tmp_path / "bad.jsonl")
    assert (report.alerts_inserted, report.rows_rejected) == (loaded, 1 - loaded)


def test_of_a_row_with_a_line_too_long_nothing_is_loaded(db: AlertDatabase, tmp_path: Path) -> None:
    tail = ",A1,S,INFO,2024-01-01T00:00:00\n"
    path = tmp_path / "a.csv"
    path.write_text("message,id,source,severity,at\n" + "x" * 1_050_000 + tail + "short" + tail.replace("A1", "A2"))
    declared = mapping(FLEET, metadata={"message": {"column": "message"}})
    report = load_alerts(db, path, declared, reject_path=tmp_path / "bad.jsonl")
    assert counts(report) == (2, 1, 0, 1, 0)
    assert ids(db) == ["A2"]


def test_json_lines_of_a_database_export_are_read_through_their_paths(db: AlertDatabase, tmp_path: Path) -> None:
    rows = [
        {"alert_id": "A", "kind": 3, "timestamp": {"$date": "2025-01-15T10:00:00Z"}, "metadata": {"valid": True}},
        {"alert_id": 7, "kind": 3, "timestamp": {"$date": "2025-01-15T10:00:00Z"}, "metadata": None},
        {"alert_id": "C", "kind": 3, "timestamp": "2025-01-15T10:00:00Z"},
        {"alert_id": "D", "kind": 3, "timestamp": {"$date": "2025-01-15T10:00:00Z"}, "metadata": {"valid": {}}},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    declared = mapping(
        {},
        format="jsonl",
        alert_id={"column": "alert_id"},
        source_type={"column": "kind", "map": {"3": "COMPLIANCE"}},
        severity={"constant": "INFO"},
        timestamp={"column": "timestamp.$date"},
        expires_at={"column": "timestamp.$date"},
        metadata={"document_valid": {"column": "metadata.valid", "type": "bool"}},
    )
    report = load_alerts(db, path, declared, reject_path=tmp_path / "bad.jsonl")
    alerts = {alert["alert_id"]: alert for alert in db.alerts.find()}
    assert {alert_id: alert["metadata"] for alert_id, alert in alerts.items()} == {
        "A": {"document_valid": True},
        "7": {},
    }
    assert alerts["A"]["expires_at"] == MORNING
    assert [(entry["line"], entry["reason"]) for entry in rejects(report)] == [
        (3, "column 'timestamp.$date' is missing or empty"),
        (4, "column 'metadata.valid': is an object"),
    ]
