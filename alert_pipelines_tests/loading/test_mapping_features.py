"""What a mapping can say of a row beyond one column for one field."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.errors import MappingError
from alert_pipelines.loading import LoadReport, load_alerts
from alert_pipelines.mongo import AlertDatabase

from .mappings import TICKETS, from_yaml, mapping, write

BASE: dict[str, Any] = {
    "format": "jsonl",
    "alert_id": {"column": "id"},
    "source_type": {"constant": "X"},
    "severity": {"constant": "INFO"},
    "timestamp": {"column": "at"},
}
START = datetime(2026, 1, 1, 8, tzinfo=UTC)


def load(
    db: AlertDatabase, tmp_path: Path, *rows: dict[str, Any], until: datetime | None = None, **declared: Any
) -> LoadReport:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": "A", "at": "2026-01-01T08:00Z", **row}) + "\n" for row in rows))
    return load_alerts(db, path, mapping(BASE, **declared), until=until, reject_path=tmp_path / "bad.jsonl")


def only(db: AlertDatabase, tmp_path: Path, row: dict[str, Any], **declared: Any) -> dict[str, Any]:
    """The alert that the one row becomes, or the reason that it is none."""
    db.alerts.delete_many({})
    report = load(db, tmp_path, row, **declared)
    if report.rows_rejected:
        return {"rejected": json.loads((tmp_path / "bad.jsonl").read_text())["reason"]}
    return db.alerts.find_one() or {}


@pytest.mark.parametrize(
    ("hour", "status", "resolved"), [(9, "OPEN", None), (10, "RESOLVED", 10), (23, "RESOLVED", 10)]
)
def test_an_interval_is_open_until_its_end(
    db: AlertDatabase, tmp_path: Path, hour: int, status: str, resolved: int | None
) -> None:
    row = {"finished_at": "2026-01-01T10:00Z", "by": "ann", "note": "reset"}
    load(
        db,
        tmp_path,
        row,
        until=START.replace(hour=hour),
        resolved_at={"column": "finished_at"},
        resolved_by={"column": "by"},
        resolution_notes={"column": "note"},
    )
    alert = db.alerts.find_one() or {}
    assert alert["status"] == status
    assert alert["resolved_at"] == (resolved and START.replace(hour=resolved))
    assert (alert["resolved_by"], alert["resolution_notes"]) == (("ann", "reset") if resolved else (None, None))
    assert [entry["triggered_by"] for entry in alert["state_history"]] == (["ann"] if resolved else [])
    assert alert["created_at"] == START


def test_an_interval_that_has_not_ended_is_open(db: AlertDatabase, tmp_path: Path) -> None:
    alert = only(db, tmp_path, {"finished_at": None}, resolved_at={"column": "finished_at"})
    assert (alert["status"], alert["resolved_at"], alert["state_history"]) == ("OPEN", None, [])


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("hot", ("ESCALATED", "CRITICAL", "escalated_at")),
        ("closed", ("AUTO_CLOSED", "INFO", "closed_at")),
        ("done", ("RESOLVED", "INFO", "resolved_at")),
    ],
)
def test_a_status_sets_the_fields_that_go_with_it(
    db: AlertDatabase, tmp_path: Path, state: str, expected: tuple[str, str, str]
) -> None:
    states = {"column": "s", "map": {"hot": "ESCALATED", "closed": "AUTO_CLOSED", "done": "RESOLVED"}}
    changed = START + timedelta(hours=2)
    row = {"s": state, "changed": changed.isoformat()}
    alert = only(db, tmp_path, row, status=states, updated_at={"column": "changed"})
    assert (alert["status"], alert["severity"], alert[expected[2]]) == (*expected[:2], changed)
    assert alert["state_history"][0]["reason"] == f"state {state}"
    assert (alert["timestamp"], alert["created_at"], alert["updated_at"]) == (START, START, changed)


def test_a_status_that_is_missing_or_unknown_rejects_the_row(db: AlertDatabase, tmp_path: Path) -> None:
    states = {"column": "s", "map": {"open": "OPEN"}}
    assert only(db, tmp_path, {}, status=states)["rejected"] == "column 's' is missing or empty"
    assert "'opn' is not in the mapping" in only(db, tmp_path, {"s": "opn"}, status=states)["rejected"]
    assert only(db, tmp_path, {"s": "opn"}, status={**states, "otherwise": "OPEN"})["status"] == "OPEN"
    assert only(db, tmp_path, {}, status={**states, "default": "OPEN"})["status"] == "OPEN"


def test_date_and_time_in_two_columns_are_one_timestamp(db: AlertDatabase, tmp_path: Path) -> None:
    alert = only(
        db,
        tmp_path,
        {"day": "31.12.2025", "clock": "23:30"},
        timestamp={"template": "{day} {clock}", "format": "%d.%m.%Y %H:%M"},
        dates={"zone": "Europe/Berlin"},
    )
    assert alert["timestamp"] == datetime(2025, 12, 31, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "unit", "seconds"),
    [
        ("00:10:03", None, 603),
        ("2 days, 0:10:03", None, 2 * 86_400 + 603),
        ("1.02:03:04", None, 86_400 + 7_384),
        ("PT10M", None, 600),
        ("P1DT2H", None, 86_400 + 7_200),
        ("10", "minutes", 600),
        (90.5, "seconds", 90.5),
        ("10", None, "for plain numbers write the unit"),
        ("soon", "minutes", "is not a valid duration"),
        ("P", None, "is not a valid duration"),
        ("9" * 30, "days", "it is too long"),
    ],
)
def test_durations_are_read_as_exports_write_them(
    db: AlertDatabase, tmp_path: Path, written: Any, unit: str | None, seconds: float | str
) -> None:
    row, declared = {"d": written}, {"after": "d"} | ({"unit": unit} if unit else {})
    alert = only(db, tmp_path, row, expires_at=declared)
    if isinstance(seconds, str):
        assert seconds in alert["rejected"]
        return
    assert alert["expires_at"] == START + timedelta(seconds=seconds)
    kept = {"column": "d", "type": "duration"} | ({"unit": unit} if unit else {})
    assert only(db, tmp_path, row, metadata={"took": kept})["metadata"] == {"took": seconds}
    assert only(db, tmp_path, row, resolved_at=declared)["resolved_at"] == START + timedelta(seconds=seconds)


def test_a_list_is_kept_or_split(db: AlertDatabase, tmp_path: Path) -> None:
    declared = {"tags": {"column": "t", "type": "list", "separator": ";"}}
    assert only(db, tmp_path, {"t": ["a", 1, True]}, metadata=declared)["metadata"] == {"tags": ["a", 1, True]}
    assert only(db, tmp_path, {"t": "a; b;"}, metadata=declared)["metadata"] == {"tags": ["a", "b"]}
    unsplit = {"tags": {"column": "t", "type": "list"}}
    assert "set separator" in only(db, tmp_path, {"t": "a;b"}, metadata=unsplit)["rejected"]


def test_the_first_column_with_a_value_counts_and_else_the_default(db: AlertDatabase, tmp_path: Path) -> None:
    declared = {"who": {"coalesce": ["user", "owner.name"], "default": "nobody"}}
    assert only(db, tmp_path, {"user": "", "owner": {"name": "o"}}, metadata=declared)["metadata"] == {"who": "o"}
    assert only(db, tmp_path, {"user": "u", "owner": {"name": "o"}}, metadata=declared)["metadata"] == {"who": "u"}
    assert only(db, tmp_path, {}, metadata=declared)["metadata"] == {"who": "nobody"}


def test_a_default_did_away_with_what_an_earlier_update_said(db: AlertDatabase, tmp_path: Path) -> None:
    rows = "A,New,2025-01-01,2025-01-01,x,hot,7\nA,New,,2025-01-02,x,,\n"
    path = write(tmp_path / "a.csv", "id,state,opened,updated,by,sev,v\n" + rows)
    severity = {"column": "sev", "map": {"hot": "CRITICAL"}, "default": "INFO"}
    declared = mapping(TICKETS, severity=severity, metadata={"v": {"column": "v", "type": "int", "default": "0"}})
    load_alerts(db, path, declared)
    alert = db.alerts.find_one() or {}
    assert (alert["severity"], alert["metadata"]) == ("CRITICAL", {"v": 0})


def test_a_column_of_a_coalesce_need_not_be_in_a_csv_file_nor_is_it_told(db: AlertDatabase, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,at,owner\nA,2026-01-01,ann\n")
    metadata = {"who": {"coalesce": ["user", "owner"]}, "where": {"coalesce": ["city", "town"]}}
    report = load_alerts(db, path, mapping({**BASE, "format": "csv", "metadata": metadata}))
    assert report.summary.columns_without_value == ["city or town"]
    assert (db.alerts.find_one() or {})["metadata"] == {"who": "ann"}


@pytest.mark.parametrize(
    ("written", "date_format"),
    [
        ("0001-01-01T00:00:00Z", "iso"),
        ("9999-12-31T23:59:59-05:00", "iso"),
        ("31.12.9999", "%d.%m.%Y"),
        (-62_135_596_800, "epoch_s"),
        ("2050-01-01T00:00:00.000Z", "iso"),
    ],
)
def test_an_end_that_never_comes_was_a_date(db: AlertDatabase, tmp_path: Path, written: Any, date_format: str) -> None:
    alert = only(
        db,
        tmp_path,
        {"end": written},
        missing=["2050-01-01T00:00:00.000Z"],
        expires_at={"column": "end", "format": date_format},
        metadata={"until": {"column": "end", "type": "date", "format": date_format}},
    )
    assert (alert["expires_at"], alert["metadata"]) == (None, {})


def test_a_date_format_with_an_offset_was_refused(db: AlertDatabase, tmp_path: Path) -> None:
    alert = only(db, tmp_path, {"at": "01/02/2026 08:00 +0100"}, dates={"format": "%d/%m/%Y %H:%M %z"})
    assert alert["timestamp"] == datetime(2026, 2, 1, 7, tzinfo=UTC)


def test_what_no_row_of_an_id_says_is_named_once(db: AlertDatabase, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,state,opened,updated,by,owner,sev\nA,New,,2025-01-01,x,y,\n")
    declared = mapping(TICKETS, severity={"column": "sev"})
    report = load_alerts(db, path, declared, reject_path=tmp_path / "bad.jsonl")
    assert [reason.reason for reason in report.reject_reasons] == ["sev is missing or empty in all rows of its id"]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("timestamp: first", "timestamp: first is for a log of updates only: write events, or name a column"),
        ("status: {column: s, otherwise: OPEN}", "status: otherwise is for values that are not in map"),
        ("expires_at: {column: a, unit: minutes}", "expires_at: unit is for after"),
        ("expires_at: {after: a, unit: years}", "expires_at.unit: 'years' is not a valid unit: expected one of ms,"),
        ("metadata: {a: {column: b, separator: x}}", "metadata.a: separator is for type list only"),
        ("metadata: {a: {column: {b: c}}}", "is not a valid column: expected a name"),
        (
            "status: {column: s}, events: {time: {column: u}, state: s, states: {a: OPEN}}",
            "status: in a log of updates, events set this",
        ),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path: Path, written: str, complaint: str) -> None:
    base = "alert_id: {column: id}, source_type: {constant: X}, severity: {constant: INFO}, format: jsonl"
    timestamp = "" if written.startswith("timestamp") else ", timestamp: {column: at}"
    with pytest.raises(MappingError) as caught:
        from_yaml(tmp_path, f"{{{base}{timestamp}, {written}}}")
    assert complaint in str(caught.value)
