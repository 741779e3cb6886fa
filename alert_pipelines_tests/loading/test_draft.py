"""`mapping draft`: what it writes loads as it is, or after a person corrected at most five lines."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading import LoadReport, load_alerts, load_mapping
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.draft.layout import layout_of
from alert_pipelines.mongo import AlertDatabase

from .mappings import write

FILES = Path(__file__).parent / "files"
DATA = Path(__file__).parents[3] / "shared" / "data"

Edits = dict[str, str]


def corrected(path: Path, directory: Path, edits: Edits) -> Path:
    """The draft of `path` in which each line that begins as a key of `edits` reads as its value."""
    assert len(edits) <= 5
    lines = draft_mapping(path).splitlines()
    for beginning, instead in edits.items():
        (index,) = [number for number, line in enumerate(lines) if line.startswith(beginning)][-1:]
        lines[index] = instead
    written = directory / "mapping.yaml"
    written.write_text("\n".join(lines), encoding="utf-8")
    return written


def load(db: AlertDatabase, path: Path, directory: Path, edits: Edits, **options: Any) -> LoadReport:
    mapping = load_mapping(corrected(path, directory, edits))
    report = load_alerts(db, path, mapping, reject_path=directory / "bad.jsonl", **options)
    assert report.rows_rejected == 0, report.reject_reasons
    return report


def drafted(directory: Path, text: str, name: str = "alerts.csv") -> str:
    return draft_mapping(write(directory / name, text))


@pytest.mark.parametrize(
    ("name", "edits", "statuses"),
    [
        ("pagerduty_incidents.csv", {}, {"P1": "RESOLVED", "P2": "OPEN", "P3": "OPEN"}),
        ("alertmanager_webhook.json", {}, {"aa11": "OPEN", "bb22": "RESOLVED", "cc33": "OPEN"}),
        ("opsgenie_alerts.jsonl", {}, {"og1": "OPEN", "og2": "RESOLVED"}),
        (
            "zabbix_events.ndjson",
            {
                "alert_id:": "alert_id: {coalesce: [p_eventid, eventid]}",
                "timestamp:": "timestamp: first",
                "status:": "events:\n  time: {column: clock}",
                "  column: value": "  state: value",
                "  map:": "  states:",
            },
            {"501": "RESOLVED"},
        ),
        ("elastic_hits.jsonl", {}, {"k1": "OPEN"}),
        ("excel_semicolon_cp1252.csv", {"dates:": 'dates: {format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}'}, None),
        ("title_rows.csv", {}, {"M1": "OPEN"}),
        ("utf16.tsv", {}, {"M1": "OPEN"}),
        ("resolution_without_severity.csv", {}, {"Q1": "RESOLVED"}),
        ("ok_before_any_alert.csv", {}, {"Z2": "OPEN"}),
    ],
)
def test_a_file_in_a_layout_of_the_field_needed_a_mapping_by_hand(
    db: AlertDatabase, tmp_path: Path, name: str, edits: Edits, statuses: dict[str, str] | None
) -> None:
    load(db, FILES / name, tmp_path, edits)
    alerts = {alert["alert_id"]: alert for alert in db.alerts.find()}
    assert {name: alert["status"] for name, alert in alerts.items()} == (statuses or {"M1": "OPEN", "M2": "OPEN"})
    if name.startswith("excel"):
        assert [alerts[each]["metadata"]["geschwindigkeit"] for each in ("M1", "M2")] == [87.5, 1087.5]
        assert alerts["M1"]["metadata"]["driver_id"] == "Müller"
        assert alerts["M2"]["timestamp"] == datetime(2026, 11, 20, 13, tzinfo=UTC)


def test_every_value_that_occurs_is_in_the_map_and_counted(tmp_path: Path) -> None:
    rows = "".join(f"{n},{'low' if n % 3 else 'P1 high'},2026-01-01T08:00Z\n" for n in range(30)) + "x,odd,\n"
    draft = drafted(tmp_path, "id,priority,at\n" + rows)
    assert "    low: INFO  # 20 rows\n    P1 high: CRITICAL  # 10 rows\n    odd: WARNING  # 1 row\n" in draft


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (["01/02/2026 08:00", "03/02/2026 09:00"], "# Day or month first? All values fit %d/%m/%Y %H:%M and %m/%d/%Y"),
        (["01/02/2026 08:00", "30/01/2026 09:00"], 'dates: {format: "%d/%m/%Y %H:%M", zone: UTC}'),
        (["01/30/2026 08:00", "02/01/2026 09:00"], 'dates: {format: "%m/%d/%Y %H:%M", zone: UTC}'),
        (["01/02/2026 08:00 AM", "02/01/2026 09:00 PM"], 'dates: {format: "%m/%d/%Y %I:%M %p", zone: UTC}'),
        (["01.02.26", "02.03.26"], "whole_days: true"),
        (["1767261600123", "1767261600999"], "dates: {format: epoch_ms, zone: UTC}\n"),
        (["2026-01-01T08:00:00Z"], "dates: {format: iso, zone: UTC}\n"),
        (["20/Jan/2026:08:00:00 +0100"], 'dates: {format: "%d/%b/%Y:%H:%M:%S %z", zone: UTC}\n'),
    ],
)
def test_date_formats_are_told_from_all_values(tmp_path: Path, dates: list[str], expected: str) -> None:
    rows = "".join(f"{n},{date}\n" for n, date in enumerate(dates))
    assert expected in drafted(tmp_path, "id,at\n" + rows)


def test_a_time_of_day_in_its_own_column_is_put_to_the_date(db: AlertDatabase, tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 28 + 1:02}.01.2026,08:{n:02}\n" for n in range(30))
    path = write(tmp_path / "storms.csv", "id,day,clock\n" + rows)
    load(db, path, tmp_path, {})
    assert db.alerts.find_one({"alert_id": "29"}, {"_id": 0, "timestamp": 1}) == {
        "timestamp": datetime(2026, 1, 2, 8, 29, tzinfo=UTC)
    }


def test_numbers_that_begin_with_a_zero_lost_it(tmp_path: Path) -> None:
    draft = drafted(tmp_path, "id,at,code,speed\n1,2026-01-01T08:00Z,0042,7\n2,2026-01-01T08:00Z,0043,8.5\n")
    assert "code: {column: code}" in draft
    assert "speed: {column: speed, type: float}" in draft


def test_names_and_values_that_yaml_or_a_terminal_would_take_for_more_stay_what_they_are(
    db: AlertDatabase, tmp_path: Path
) -> None:
    rows = [
        {
            "id": "1",
            "at": "2026-01-01T08:00Z",
            "state": "a: {b}",
            "#x": "y\u2028- z\u001b[31m",
            "k.l": {"": 1, "m n": "*"},
        },
        {"id": "2", "at": "2026-01-01T08:00Z", "state": "no", "deep": [{"a": [1]}], "'\"": "\\", "- ?": None},
    ]
    path = write(tmp_path / "1 rows [odd].jsonl", "\n".join(map(json.dumps, rows)))
    assert "\u001b" not in draft_mapping(path)
    load(db, path, tmp_path, {})
    first = db.alerts.find_one({"alert_id": "1"}) or {}
    assert first["source_type"] == "FILE_1_ROWS_ODD"
    assert first["metadata"]["x"] == "y\u2028- z\u001b[31m"


@pytest.mark.parametrize(("content", "told"), [("", "is empty"), ("id,at\n", "has no rows to draft a mapping from")])
def test_a_file_without_rows_is_named(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(LoadError, match=told):
        drafted(tmp_path, content)


def test_a_packed_file_is_looked_at_as_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "alerts.csv.gz"
    path.write_bytes(gzip.compress("id;at;wer\n1;2026-01-01T08:00Z;Jörg\n".encode("cp1252")))
    draft = draft_mapping(path)
    assert "encoding: cp1252  # if names or values look wrong, draft again with --encoding NAME" in draft
    assert 'csv: {delimiter: ";", header_line: 1}\n' in draft
    assert "wer: {column: wer}  # Jörg" in draft


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the public data sets are not in {DATA}")
def test_the_public_data_sets_needed_a_mapping_by_hand(db: AlertDatabase, tmp_path: Path) -> None:
    intrusions = load(db, DATA / "ids_alerts" / "russellmitchell_alerts.csv.gz", tmp_path, {})
    assert intrusions.alerts_inserted == 45_544
    until = datetime(2016, 6, 1, tzinfo=UTC)
    path = DATA / "servicenow_incidents" / "incident_event_log.csv.gz"
    incidents = load(db, path, tmp_path, {"    Resolved:": "    Resolved: OPEN"}, until=until)
    assert incidents.alerts_inserted == 24_643
    assert incidents.summary.statuses["OPEN"] == 2_037


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("id,at,note\n1,2026-11-29\n2,2026-11-29,c,d\n3,2026-11-29,c\n4,2026-11-29,c\n", ","),
        ('id,at,note\n1,2026-11-29,"a \\"q\\", b"\n2,2026-11-29,c\n', ","),
        ("lat;lon\n52,5;13,4\n52,6;13,5\n", ";"),
        ("id|at\n--+----\n1|2026-11-29\n2|2026-11-29\n(2 rows)\n", "|"),
    ],
)
def test_a_row_below_rows_of_another_width_was_taken_for_the_header(
    tmp_path: Path, content: str, delimiter: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert (layout_of(path).csv.header_line, layout_of(path).csv.delimiter) == (1, delimiter)
