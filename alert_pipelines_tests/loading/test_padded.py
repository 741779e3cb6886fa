"""Columns padded with spaces, quotes of another kind, and numbers with signs for thousands: as a draft finds them."""

import json
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.loading import load_mapping, preview
from alert_pipelines.loading.draft import draft_mapping

from .mappings import write


def alerts_of(path: Path) -> list[dict[str, Any]]:
    found = preview(path, load_mapping(write(path.parent / "mapping.yaml", draft_mapping(path))))
    assert (found.fault, found.rows_rejected) == (None, 0), found.reject_reasons
    return [alert["metadata"] | {"id": alert["alert_id"], "severity": alert["severity"]} for alert in found.alerts]


@pytest.mark.parametrize(
    "content",
    [
        "id,sev,at,note\n  A1 ,high,2026-11-29,x\n A2,low ,2026-11-29, y\n",
        "id | sev  | at         | note\nA1 | high | 2026-11-29 | x\nA2 | low  | 2026-11-29 | y\n",
        'id, sev, at, note\nA1, "high", 2026-11-29, "x"\nA2, "low", 2026-11-29, "y"\n',
        (
            '{"id": "A1   ", "sev": "high  ", "at": "2026-11-29", "note": "x "}\n'
            '{"id": "A2   ", "sev": "low   ", "at": "2026-11-29", "note": "y "}\n'
        ),
    ],
    ids=["ids", "pipes", "quotes", "json"],
)
def test_a_padded_id_was_another_id_and_a_padded_value_not_in_its_map(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.csv", content)
    assert "trim: true" in draft_mapping(path)
    assert [(one["id"], one["severity"], one["note"]) for one in alerts_of(path)] == [
        ("A1", "CRITICAL", "x"),
        ("A2", "INFO", "y"),
    ]


def test_spaces_are_kept_unless_the_mapping_trims(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,at,note\n A1,2026-11-29,x \n")
    declared = {"format": "csv", "alert_id": {"column": "id"}, "source_type": {"constant": "X"}}
    declared |= {"severity": {"constant": "INFO"}, "timestamp": {"column": "at"}}
    for more, alert_id in (({}, " A1"), ({"trim": "true"}, "A1")):
        found = preview(path, load_mapping(write(tmp_path / "m.json", json.dumps(declared | more))))
        assert [alert["alert_id"] for alert in found.alerts] == [alert_id]


def test_a_comma_in_single_quotes_parted_its_value(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,at,note\n'1','2026-11-29','a,b'\n'2','2026-11-29','it is'\n")
    assert 'quote: "\'"' in draft_mapping(path)
    assert [one["note"] for one in alerts_of(path)] == ["a,b", "it is"]


@pytest.mark.parametrize(
    ("content", "signs", "km"),
    [
        ('id,at,km\n1,2026-11-29,"1,234"\n2,2026-11-29,"5,678"\n', '{decimal: ".", thousands: ","}', [1234, 5678]),
        ('id,at,km\n1,2026-11-29,"1,234.5"\n2,2026-11-29,12.5\n', '{decimal: ".", thousands: ","}', [1234.5, 12.5]),
        ("id;at;km\n1;2026-11-29;1'234.5\n2;2026-11-29;12\n", '{decimal: ".", thousands: "\'"}', [1234.5, 12]),
        ("id;at;km\n1;2026-11-29;1\u202f234,5\n2;2026-11-29;12\n", '{decimal: ",", thousands: " "}', [1234.5, 12]),
        ("id;at;km\n1;2026-11-29;87,5\n2;2026-11-29;90\n", '{decimal: ","}', [87.5, 90]),
    ],
)
def test_a_number_with_a_sign_for_thousands_was_a_text(
    tmp_path: Path, content: str, signs: str, km: list[float]
) -> None:
    path = write(tmp_path / "a.csv", content)
    assert f"numbers: {signs}\n" in draft_mapping(path)
    assert [one["km"] for one in alerts_of(path)] == km


def test_a_number_in_another_style_than_most_rejected_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id;at;v;km;lat\n1;2026-11-29;87,5;1.234;52.51\n2;2026-11-29;9,5;5.678;52.5\n")
    assert [(one["v"], one["km"], one["lat"]) for one in alerts_of(path)] == [
        (87.5, 1234, "52.51"),
        (9.5, 5678, "52.5"),
    ]


@pytest.mark.parametrize(
    ("yes", "no", "value"), [("ja", "nein", True), ("Y", "N", True), ("t", "f", True), ("x", "no", "x")]
)
def test_yes_and_no_in_another_language_were_texts(tmp_path: Path, yes: str, no: str, value: bool | str) -> None:
    path = write(tmp_path / "a.csv", f"id,at,seen\nA1,2026-11-29,{yes}\nA2,2026-11-29,{no}\n")
    assert alerts_of(path)[0]["seen"] == value


def test_an_id_that_was_kept_from_becoming_a_number_held_the_formula(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,at,note\n"=""0007""",2026-11-29,a=""\n="0008",2026-11-29,"="\n')
    assert [(alert["id"], alert["note"]) for alert in alerts_of(path)] == [("0007", 'a=""'), ("0008", "=")]
