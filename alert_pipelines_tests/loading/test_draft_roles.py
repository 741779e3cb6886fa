"""Which column plays which part, and what its values mean, as a draft takes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.draft.layout import layout_of
from alert_pipelines.loading.draft.roles import severity_of, status_of

from .mappings import write
from .test_dates_in_files import first_time


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (("unresolved", "Not resolved", "not_ok", "abnormal", "Suspended", "incomplete", "Pending closure"), "OPEN"),
        (
            ("to be fixed", "Awaiting resolution", "partially fixed", "nicht behoben", "Down", "Reopened", "PROBLEM"),
            "OPEN",
        ),
        (("resolved", "Auto-Closed", "AUTO_RESOLVED", "OK", "ok", "Up", "Closed - fixed", "inactive", "0"), "RESOLVED"),
        (
            ("Abgeschlossen", "Geschlossen", "Gelöst", "Résolu", "Cerrado", "Terminé", "Dismissed", "recovered"),
            "RESOLVED",
        ),
    ],
)
def test_a_status_that_holds_the_word_for_another_was_taken_for_it(values: tuple[str, ...], status: str) -> None:
    assert [value for value in values if status_of(value) != status] == []


@pytest.mark.parametrize(
    ("values", "severity"),
    [
        (("Sev0", "S1", "P1", "1 - Critical", "red", "Extreme", "Blocker", "sehr hoch", "Élevée"), "CRITICAL"),
        (("yellow", "abnormal", "Sev3", "amber", "moyenne", "3 - Moderate", "not critical", "non-critical"), "WARNING"),
        (("green", "Sev4", "P5", "very low", "gering", "faible", "normal"), "INFO"),
    ],
)
def test_a_severity_that_holds_the_word_for_another_was_taken_for_it(values: tuple[str, ...], severity: str) -> None:
    assert [value for value in values if severity_of(value) != severity] == []


def test_the_first_list_of_a_document_was_taken_for_its_rows(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": f"F{n}", "properties": {"sent": "2026-11-29T02:05:00Z"}} for n in range(3)]
    document = {"@context": [{"@version": "1.1"}], "features": rows, "links": [{"rel": "next"}, {"rel": "last"}]}
    assert layout_of(write(tmp_path / "a.json", json.dumps(document))).rows == "features"


@pytest.mark.parametrize("name", ["Unique Key", "identifiant", "Case Identifier"])
def test_an_id_by_another_name_was_not_seen(tmp_path: Path, name: str) -> None:
    told = draft_mapping(write(tmp_path / "a.csv", f"{name},at\n7,2026-11-29\n8,2026-11-29\n"))
    assert told.splitlines()[5].startswith("alert_id: {column: ")


def test_ids_that_pandas_wrote_with_a_fraction_were_not_seen(tmp_path: Path) -> None:
    told = draft_mapping(write(tmp_path / "a.csv", "id,vehicle,at\n7.0,1.0,2026-11-29\n8.0,,2026-11-29\n"))
    assert "alert_id: {column: id}" in told
    assert "vehicle_id: {column: vehicle, type: float}" in told


@pytest.mark.parametrize(
    ("day", "clock"),
    [
        ("2026-11-29 00:00:00", "14:05:00"),
        ("2026-11-29T00:00:00", "14:05"),
        ("11/29/2026 12:00:00 AM", "1405"),
        ("29.11.2026", "1405"),
    ],
)
def test_a_clock_beside_a_day_with_midnight_behind_it_left_all_at_midnight(
    tmp_path: Path, day: str, clock: str
) -> None:
    early = "00:01" if ":" in clock else "0001"
    path = write(tmp_path / "a.csv", f"id,DATE_OCC,TIME_OCC\nA,{day},{clock}\nB,{day},{early}{clock[5:]}\n")
    assert (first_time(path).hour, first_time(path).minute) == (14, 5)


def test_one_line_in_another_encoding_spoiled_the_names_of_all_others(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        "id;at;wer\n1;2026-11-29;Jörg\n2;2026-11-29;Müller\n".encode() + "3;2026-11-29;Zoë\n".encode("cp1252")
    )
    assert layout_of(path).encoding == "utf-8"
