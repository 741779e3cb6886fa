"""Dates as people's exports write them: drafted, and loaded at the right time; zones by their names."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alert_pipelines.errors import LoadError, MappingError
from alert_pipelines.loading import load_mapping, preview
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.values import BadValueError, date_converter, end_converter

from .mappings import FLEET, from_yaml, mapping, write


def first_time(path: Path) -> datetime:
    """When the first alert starts, by the mapping that is drafted."""
    found = preview(path, load_mapping(write(path.parent / "mapping.yaml", draft_mapping(path))))
    assert (found.fault, found.rows_rejected) == (None, 0), found.reject_reasons
    start: datetime = found.alerts[0]["timestamp"]
    return start


@pytest.mark.parametrize(
    ("dates", "hour"),
    [
        (("2026-01-25 10:00:00 CET", "2026-07-25 10:00:00 CEST"), 9),
        (("07/25/2026 10:00 AM EDT", "01/25/2026 10:00 AM EST"), 14),
        (("25 Jan 2026 10:00 PST",), 18),
        (("2026-01-25 10:00:00 JST",), 1),
        (("2026-01-25T10:00:00+01:00[Europe/Vienna]", "2026-01-25T10:00:00Z"), 9),
        (("2026-01-25T10:00:00[Europe/Vienna]",), 9),
        (("Sun Jan 25 10:00:00 2026",), 10),
        (("25.01.2026 10.00", "26.01.2026 10.30"), 10),
        (("2026-01-25 10:00:00.25+00", "2026-01-25 10:00:00+00"), 10),
        (("25. Jänner 2026 10:00", "3. März 2026 08:00", "1. Dez. 2026 08:00"), 10),
        (("So., 25. Jan. 2026, 10:00", "Di., 3. Mär. 2026, 08:00"), 10),
        (("25. Januar 2026 um 10:00 Uhr",), 10),
        (("25 janv. 2026 10:00", "3 août 2026 08:00", "1 déc. 2026 08:00"), 10),
        (("dim. 25 janvier 2026 à 10:00",), 10),
        (("25 de enero de 2026 10:00", "1 de diciembre de 2026 08:00"), 10),
        (("Jan 25, 2026 10:00 AM", "Sept. 25, 2026 10:00 PM"), 10),
        (("Sunday, January 25, 2026 at 10:00 PM",), 22),
        (("1/25/2026, 10:00:00\u202fPM", "1/26/2026, 9:00:00\u202fAM"), 22),
        (("01/25/2026 10:00PM",), 22),
        (("25/01/2026 10:00:00 p. m.", "26/01/2026 09:00:00 a.m."), 22),
        (("Sun Jan 25 10:00:00 UTC 2026",), 10),
        (("Sun Jan 25 10:00:00 CET 2026", "Fri Jul 25 10:00:00 CEST 2025"), 9),
        (("Sun Jan 25 2026 10:00:00 GMT+0100 (Central European Standard Time)",), 9),
        (("2026-01-25 10:00:00 Europe/Berlin",), 9),
        (("2026-01-25 10:00:00 GMT+1",), 9),
        (("2026-01-25 10:00:00 UTC-05:30",), 15),
        (("2026-01-25 10:00:00 +0100", "2026-01-25 10:00:00 +0000"), 9),
        (("/Date(1769335200000)/", "/Date(1769335200000+0200)/"), 10),
    ],
)
def test_a_date_in_a_form_that_exports_have_was_not_seen(tmp_path: Path, dates: tuple[str, ...], hour: int) -> None:
    path = write(
        tmp_path / "a.csv", "id;severity;raised\n" + "".join(f"A{n};high;{at}\n" for n, at in enumerate(dates))
    )
    assert first_time(path).hour == hour


@pytest.mark.parametrize(
    ("day", "clock", "hour"),
    [("01/25/2026", "2:05 PM", 14), ("25.01.2026", "14:05 Uhr", 14), ("2026-01-25", "2:05pm", 14)],
)
def test_a_clock_of_twelve_hours_beside_its_day_left_all_at_midnight(
    tmp_path: Path, day: str, clock: str, hour: int
) -> None:
    path = write(tmp_path / "a.csv", f"id,severity,date,time\nA,high,{day},{clock}\nB,high,{day},{clock}\n")
    assert first_time(path).hour == hour


def test_a_day_of_eight_digits_was_a_number(tmp_path: Path) -> None:
    told = draft_mapping(write(tmp_path / "a.csv", "id,date\nA,20260125\nB,20260126\n"))
    assert 'dates: {format: "%Y%m%d", zone: UTC, whole_days: true}' in told


def test_the_first_year_as_dot_net_writes_it_was_a_bad_end() -> None:
    assert end_converter("iso", "UTC")("/Date(-62135596800000)/") is None


def test_the_zero_date_of_a_database_was_a_bad_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,created,closed\nA,2026-01-25 10:00:00,0000-00-00 00:00:00\n")
    assert first_time(path).hour == 10
    assert end_converter("%Y-%m-%d %H:%M:%S", "UTC")("0000-00-00 00:00:00") is None
    assert end_converter("%Y-%m-%d %H:%M:%S,%f", "UTC")("2026-01-25 10:00:00,0001") is not None


@pytest.mark.parametrize("name", ["jui", "moi", "Ma", "Monat"])
def test_a_month_that_is_none_or_two_is_refused(name: str) -> None:
    with pytest.raises(BadValueError, match="expected the form"):
        date_converter("%d %b %Y", "UTC")(f"1 {name} 2026")


def test_a_short_name_of_a_zone_counted_as_utc(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,source,severity,at,driver,speed\nA,S,INFO,2026-01-25 10:00 CET,D,1\n")
    form = "%Y-%m-%d %H:%M %Z"
    utc = preview(path, mapping(FLEET, dates={"format": form}))
    assert str(utc.reject_reasons[0]).startswith(
        "1 × at is not a valid date: the zone UTC is not called CET then; set dates"
    )
    vienna = preview(path, mapping(FLEET, dates={"format": form, "zone": "Europe/Vienna"}))
    assert vienna.alerts[0]["timestamp"] == datetime(2026, 1, 25, 9, tzinfo=UTC)


def test_each_word_where_a_zone_was_expected_was_a_reason_of_its_own(tmp_path: Path) -> None:
    rows = "".join(f"{number},S,INFO,2026-01-25 10:00 R{number},D,1\n" for number in range(30))
    path = write(tmp_path / "a.csv", f"id,source,severity,at,driver,speed\n{rows}")
    [reason] = preview(path, mapping(FLEET, dates={"format": "%Y-%m-%d %H:%M %Z"})).reject_reasons
    assert str(reason).startswith("30 × at is not a valid date: expected the form %Y-%m-%d %H:%M %Z: '2026-01-25 10:00")


@pytest.mark.parametrize(("name", "hour"), [("CEST", 0), ("CET", 1), ("UTC", 2), ("Asia/Tokyo", 17)])
def test_the_hour_that_a_night_in_autumn_has_twice_is_told_by_its_zones_name(
    tmp_path: Path, name: str, hour: int
) -> None:
    path = write(tmp_path / "a.csv", f"id,source,severity,at,driver,speed\nA,S,INFO,25.10.2026 02:00 {name},D,1\n")
    found = preview(path, mapping(FLEET, dates={"format": "%d.%m.%Y %H:%M %Z", "zone": "Europe/Berlin"}))
    assert found.alerts[0]["timestamp"].hour == hour


def test_a_draft_asked_for_day_or_month_where_there_was_no_doubt(tmp_path: Path) -> None:
    told = draft_mapping(write(tmp_path / "a.csv", "id,raised\nA,2026-01-02 10:00\nB,2026-01-03 10:00\n"))
    assert "Day or month" not in told
    told = draft_mapping(write(tmp_path / "b.csv", "id,raised\nA,01-02-2026 10:00\nB,01-03-2026 10:00\n"))
    assert "Day or month first? All values fit %d-%m-%Y %H:%M and %m-%d-%Y %H:%M" in told


def test_a_day_and_a_year_were_taken_for_an_offset(tmp_path: Path) -> None:
    told = draft_mapping(write(tmp_path / "a.csv", "id,raised\nA,25-01-2026\nB,26-01-2026\n"))
    assert "the dates name no zone" in told


def test_a_draft_made_numbers_of_ids_that_no_number_can_hold(tmp_path: Path) -> None:
    rows = [{"id": f"A{n}", "raised": "2026-01-25T10:00Z", "trace": f"{10**23 + n}", "span": 10**17} for n in range(2)]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert "  trace: {column: trace}" in draft_mapping(path)
    assert "  span: {column: span, type: int}" in draft_mapping(path)
    assert first_time(path).hour == 10


def test_a_number_that_pandas_writes_as_missing_rejected_its_row(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", '{"id": "A", "at": "2026-01-25", "v": NaN}\n{"id": "B", "at": "2026-01-25", "v": 1}\n'
    )
    declared = """
        format: jsonl
        alert_id: {column: id}
        source_type: {constant: X}
        severity: {constant: INFO}
        timestamp: {column: at}
        metadata: {v: {column: v, type: float}}
        """
    found = preview(path, from_yaml(tmp_path, declared))
    assert [alert["metadata"] for alert in found.alerts] == [{}, {"v": 1.0}]


def test_a_draft_said_nothing_of_rows_that_cannot_be_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", '{"id": "A", "at": "2026-01-25"}\n{"id": "B", "at": "2026-01-25"}\n{"id": "C", "a'
    )
    assert "# 1 rows cannot be read, and would be rejected: line 3 is not valid JSON at column 13" in draft_mapping(
        path
    )


def test_the_first_row_of_a_file_without_a_header_was_lost_without_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "copy.tsv", "1\thigh\t2026-01-01 10:00:00+00\n2\tlow\t2026-01-02 10:00:00+00\n")
    assert "2026-01-01 10:00:00+00 is a date. If the file has no header, put one above" in draft_mapping(path)


def test_a_header_in_an_encoding_that_is_not_known_was_told_as_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\x81,\x8d\nJ1,2026/01/25 10:00\n")
    with pytest.raises(LoadError, match=r"no names of columns that can be read as cp1252. Name its encoding"):
        draft_mapping(path)


def test_a_column_with_dates_of_two_forms_rejected_one_of_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", "id,source,severity,at\nA,X,INFO,2026-01-13\nB,X,INFO,14/01/2026\nC,X,INFO,0001-01-01\n"
    )
    declared = {key: each for key, each in FLEET.items() if key != "metadata"} | {
        "dates": {"format": ["iso", "%d/%m/%Y"]}
    }
    found = preview(path, mapping(declared, resolved_at={"column": "at"}))
    assert [f"{alert['timestamp']:%m-%d}" for alert in found.alerts] == ["01-13", "01-14", "01-01"]
    assert [alert["status"] for alert in found.alerts] == ["RESOLVED", "RESOLVED", "OPEN"]


def test_a_date_that_two_formats_read_differently_is_refused() -> None:
    convert = date_converter(["%d/%m/%Y", "%m/%d/%Y"], "UTC")
    assert convert("13/01/2026") == convert("01/13/2026") == datetime(2026, 1, 13, tzinfo=UTC)
    assert convert("02/02/2026") == datetime(2026, 2, 2, tzinfo=UTC)
    for text, told in (("02/03/2026", "fits several formats, with different dates"), ("2026", "is not a valid date")):
        with pytest.raises(BadValueError, match=told):
            convert(text)


def test_a_list_of_formats_with_a_wrong_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"dates\.format.*'%d/%m' is not a valid date format"):
        from_yaml(tmp_path, "format: csv\ndates: {format: [iso, '%d/%m']}\nalert_id: {column: id}\n")
