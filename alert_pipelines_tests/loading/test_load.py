import gzip
import hashlib
import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alert_pipelines.alerts import Alert
from alert_pipelines.errors import LoadError
from alert_pipelines.loading import LoadReport, load_alerts
from alert_pipelines.mongo import AlertDatabase

from .loads import EXPORT, counts, ids, rejects
from .mappings import FLEET, mapping, write

MORNING = datetime(2025, 1, 15, 10, tzinfo=UTC)


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
    # Also compressed, longer than what Python reads at once: 128 KB in 3.14.
    drivers = (hashlib.sha256(b"%d" % n).hexdigest() for n in range(9_000))
    rows = "".join(f"A{n},SAFETY,INFO,2025-01-01T08:00,{driver},1\n" for n, driver in enumerate(drivers))
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
