"""Excel and Parquet files, which need the libraries of the extra `files`."""

import importlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading import load_alerts, load_mapping, preview
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.mongo import AlertDatabase

from .mappings import FLEET, mapping

openpyxl = pytest.importorskip("openpyxl", reason="of the extra `files`")
pyarrow = pytest.importorskip("pyarrow", reason="of the extra `files`")
parquet = importlib.import_module("pyarrow.parquet")

DECLARED: dict[str, Any] = {
    "alert_id": {"column": "id"},
    "source_type": {"constant": "X"},
    "severity": {"constant": "INFO"},
    "timestamp": {"column": "at"},
    "expires_at": {"column": "until"},
    "dates": {"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"},
    "metadata": {"speed": {"column": "speed", "type": "float"}, "driver": {"column": "driver"}},
}
EXCEL = {**DECLARED, "format": "xlsx"}
PARQUET = {**DECLARED, "format": "parquet"}


def workbook(path: Path, *rows: tuple[Any, ...], above: int = 0, title: str = "Export") -> Path:
    book = openpyxl.Workbook()
    first = book.active
    first.title = title
    for _ in range(above):
        first.append(["Safety report"])
    for row in (("id", "at", "until", "speed", "driver", None), *rows):
        first.append(row)
    book.create_sheet("Other")
    book.save(path)
    return path


def test_a_workbook_under_another_name_was_refused_for_its_name(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", ("A", datetime(2026, 7, 1, 10), None, 1, "D"))  # noqa: DTZ001
    path = path.rename(tmp_path / "report.csv")
    assert draft_mapping(path).splitlines()[2] == "format: xlsx"
    assert len(preview(path, mapping(EXCEL)).alerts) == 1
    with pytest.raises(LoadError, match=r"an Excel workbook, or a ZIP archive. Write format: xlsx"):
        preview(path, mapping(FLEET))


def test_a_workbook_is_loaded_with_its_dates_and_numbers_as_they_are(db: AlertDatabase, tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "alerts.xlsx",
        (1001, datetime(2026, 7, 1, 10, 30), date(2026, 7, 2), 87.5, "Müller", None),  # noqa: DTZ001 - as Excel has it
        (None, None, None, None, None, None),
        ("A2", "01.07.2026 11:00", None, "80", None, "x"),
        above=2,
    )
    report = load_alerts(
        db, path, mapping({**EXCEL, "excel": {"header_line": "3"}}), reject_path=tmp_path / "bad.jsonl"
    )
    assert (report.rows_read, report.alerts_inserted, report.share) == (2, 2, None)
    first, second = db.alerts.find().sort("timestamp")
    assert (first["alert_id"], first["timestamp"]) == ("1001", datetime(2026, 7, 1, 8, 30, tzinfo=UTC))
    assert first["expires_at"] == datetime(2026, 7, 1, 22, tzinfo=UTC)
    assert first["metadata"] == {"speed": 87.5, "driver": "Müller"}
    assert (second["timestamp"], second["metadata"]) == (datetime(2026, 7, 1, 9, tzinfo=UTC), {"speed": 80.0})


def test_a_duration_of_a_workbook_or_of_parquet_was_taken_for_a_list(tmp_path: Path) -> None:
    start, took = datetime(2026, 7, 1, 10), timedelta(days=1, minutes=3)  # noqa: DTZ001
    ends = {"expires_at": {"after": "until"}, "metadata": {"took": {"column": "until", "type": "duration"}}}
    book = workbook(tmp_path / "alerts.xlsx", ("A", start, took, 1, "D"))
    [alert] = preview(book, mapping({**EXCEL, **ends})).alerts
    assert (alert["expires_at"] - alert["timestamp"], alert["metadata"]) == (took, {"took": took.total_seconds()})
    parquet.write_table(pyarrow.table({"id": ["A"], "at": [start], "until": [took]}), tmp_path / "alerts.parquet")
    [alert] = preview(tmp_path / "alerts.parquet", mapping({**PARQUET, **ends})).alerts
    assert (alert["expires_at"] - alert["timestamp"], alert["metadata"]) == (took, {"took": took.total_seconds()})


def test_bytes_of_a_parquet_file_were_called_a_list(tmp_path: Path) -> None:
    columns = {"id": [b"A"], "at": [datetime(2026, 7, 1, 10)], "until": [None], "speed": [1], "driver": ["D"]}  # noqa: DTZ001
    parquet.write_table(pyarrow.table(columns), tmp_path / "alerts.parquet")
    [reason] = preview(tmp_path / "alerts.parquet", mapping(PARQUET)).reject_reasons
    assert reason.reason == "id is binary"


def test_a_row_of_a_workbook_is_rejected_under_its_line(db: AlertDatabase, tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "alerts.xlsx", ("A", "soon", None, 1, "D", None), ("B", "01.07.2026 11:00", None, 1, "D", None)
    )
    report = load_alerts(db, path, mapping(EXCEL), reject_path=tmp_path / "bad.jsonl")
    assert [(reason.rows, reason.first_line) for reason in report.reject_reasons] == [(1, 2)]


@pytest.mark.parametrize(
    ("excel", "told"),
    [
        ({"sheet": "Data"}, "has no sheet 'Data'. Its sheets: Export, Other"),
        ({"sheet": "Other"}, "the sheet 'Other' has no line 1 with the names of the columns"),
        ({"header_line": "2"}, "does not fit the mapping:"),
    ],
)
def test_what_a_workbook_lacks_is_named(db: AlertDatabase, tmp_path: Path, excel: dict[str, str], told: str) -> None:
    path = workbook(tmp_path / "alerts.xlsx", ("A", "01.07.2026 11:00", None, 1, "D", None))
    with pytest.raises(LoadError) as caught:
        load_alerts(db, path, mapping({**EXCEL, "excel": excel}))
    assert told in str(caught.value)


def test_a_parquet_file_is_loaded_with_its_kinds_as_they_are(db: AlertDatabase, tmp_path: Path) -> None:
    rows = [
        {
            "id": 1,
            "at": datetime(2026, 7, 1, 8, 30, tzinfo=UTC),
            "until": None,
            "speed": Decimal("87.5"),
            "driver": {"name": "A"},
        },
        {"id": 2, "at": datetime(2026, 7, 1, 9, 30, tzinfo=UTC), "until": None, "speed": None, "driver": {"name": "B"}},
    ]
    path = tmp_path / "alerts.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    metadata = {"speed": {"column": "speed", "type": "float"}, "driver": {"column": "driver.name"}}
    load_alerts(db, path, mapping({**PARQUET, "metadata": metadata}))
    alerts = list(db.alerts.find().sort("timestamp"))
    assert [alert["alert_id"] for alert in alerts] == ["1", "2"]
    assert [alert["timestamp"] for alert in alerts] == [row["at"] for row in rows]
    assert [alert["metadata"] for alert in alerts] == [{"speed": 87.5, "driver": "A"}, {"driver": "B"}]


def test_rows_without_an_id_get_the_same_one_again(db: AlertDatabase, tmp_path: Path) -> None:
    path = tmp_path / "alerts.parquet"
    table = pyarrow.Table.from_pylist([{"at": datetime(2026, 7, 1, 8, tzinfo=UTC), "until": None}] * 2)
    parquet.write_table(table, path)
    declared = mapping({**PARQUET, "alert_id": {"content_hash": "P"}, "metadata": {}})
    assert load_alerts(db, path, declared).alerts_inserted == 2
    assert load_alerts(db, path, declared).alerts_already_there == 2


@pytest.mark.parametrize("declared", [EXCEL, PARQUET], ids=["xlsx", "parquet"])
def test_a_file_of_another_kind_is_named(db: AlertDatabase, tmp_path: Path, declared: dict[str, Any]) -> None:
    path = tmp_path / "alerts.csv"
    path.write_text("id,at\nA,2026-01-01\n")
    with pytest.raises(LoadError, match="cannot be read as"):
        load_alerts(db, path, mapping(declared))


def test_a_library_that_is_not_installed_is_named(
    db: AlertDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "openpyxl":
            raise ModuleNotFoundError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(LoadError, match=r"needs openpyxl.*pip install '\.\[files\]'` in a checkout"):
        load_alerts(db, workbook(tmp_path / "alerts.xlsx"), mapping(EXCEL))


def test_a_mapping_is_drafted_for_both(db: AlertDatabase, tmp_path: Path) -> None:
    at = datetime(2026, 7, 1, 8, 30)  # noqa: DTZ001 - as Excel has it
    book = workbook(tmp_path / "alerts.xlsx", ("A1", at, None, 1.5, "D1", None), ("A2", at, None, 2, "D2", None))
    table = tmp_path / "alerts.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([{"id": "B1", "at": at, "speed": 1.5}]), table)
    for path, first in ((book, "A1"), (table, "B1")):
        written = tmp_path / "mapping.yaml"
        written.write_text(draft_mapping(path))
        load_alerts(db, path, load_mapping(written))
        alert = db.alerts.find_one({"alert_id": first}) or {}
        assert (alert["timestamp"], alert["metadata"]["speed"]) == (at.replace(tzinfo=UTC), 1.5)
