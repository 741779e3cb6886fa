"""Rows that cannot be used: which are rejected, why, and the file that they go to."""

import gzip
import json
import os
from pathlib import Path

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading import load_alerts
from alert_pipelines.mongo import AlertDatabase

from .loads import EXPORT, counts, ids, rejects
from .mappings import FLEET, mapping, write


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
            "2 rows share an id with an earlier row of the file (A): the first row counts. For updates, write events",
            "1 alerts end before they start: expires_at is before timestamp",
        ]


def test_bytes_that_are_no_text_spoil_their_own_row_only(db: AlertDatabase, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    header = b"id,source,severity,at,driver,speed,note\n"
    path.write_bytes(header + b"A,SAFETY,INFO,2025-01-01,D\xff,1,\nB,SAFETY,INFO,2025-01-01,D,1,\xff\n")
    report = load_alerts(db, path, mapping(FLEET), reject_path=tmp_path / "bad.jsonl")
    assert ids(db) == ["B"]
    assert [entry["line"] for entry in rejects(report)] == [2]
    assert "not valid in the file's encoding; write its own, such as encoding: cp1252" in rejects(report)[0]["reason"]


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
    with pytest.raises(LoadError, match="cannot be created"):
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


def test_ids_too_long_for_one_query_are_rejected_and_the_rest_is_loaded(db: AlertDatabase, tmp_path: Path) -> None:
    declared = mapping(FLEET, alert_id={"template": "{id}-{driver}"})
    rows = "".join(f"A{n},SAFETY,INFO,2025-01-01,{'x' * 3_300},1\n" for n in range(5_000))
    path = tmp_path / "a.csv"
    path.write_text(f"id,source,severity,at,driver,speed\nB,SAFETY,INFO,2025-01-01,D,1\n{rows}")
    report = load_alerts(db, path, declared, reject_path=tmp_path / "bad.jsonl")
    assert counts(report) == (5_001, 1, 0, 5_000, 0)
    assert ids(db) == ["B-D"]
    assert rejects(report)[0]["reason"] == (
        "alert_id is not valid: expected at most 1,024 bytes; got 3,303. Make it of shorter columns, or use "
        "content_hash."
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
