import json
from pathlib import Path

import pytest

from alert_pipelines.errors import MappingError
from alert_pipelines.loading import Mapping, load_mapping

from .mappings import FLEET, TICKETS, from_yaml

EXAMPLES = Path(__file__).parents[2] / "mappings"

MINIMAL = """
    format: csv
    alert_id: {column: id}
    source_type: {constant: SAFETY}
    severity: {constant: INFO}
    timestamp: {column: at}
"""


def test_the_least_that_can_be_said_is_enough(tmp_path: Path) -> None:
    mapping = from_yaml(tmp_path, MINIMAL)
    assert (mapping.encoding, mapping.dates.format, mapping.dates.zone) == ("utf-8", "iso", "UTC")
    assert mapping.events is None


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_usable(path: Path) -> None:
    assert isinstance(load_mapping(path), Mapping)


def test_json_says_the_same_as_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(TICKETS))
    events = load_mapping(path).events
    assert events is not None
    assert events.states["Closed"] == "AUTO_CLOSED"


def test_what_yaml_takes_for_numbers_and_booleans_stays_text(tmp_path: Path) -> None:
    mapping = from_yaml(
        tmp_path,
        MINIMAL.replace("{constant: INFO}", "{column: p, map: {1: CRITICAL, No: INFO, -1: INFO}}")
        + "    missing: [-1, null, ~]\n",
    )
    assert list(mapping.severity.map or {}) == ["1", "No", "-1"]
    assert mapping.missing == ["-1", "null", "~"]


def test_columns_tells_every_column_and_its_place(tmp_path: Path) -> None:
    mapping = from_yaml(
        tmp_path,
        """
        format: csv
        alert_id: {template: "{host}-{time}"}
        source_type: {column: kind, map: {a: SAFETY}}
        severity: {constant: INFO}
        timestamp: {column: at}
        expires_at: {column: until}
        metadata: {speed: {column: v, type: int}}
        events: {time: {column: updated}, state: status, states: {x: OPEN}, actor: {column: by}}
        """,
    )
    assert list(mapping.columns()) == [
        ("events.state", ["status"]),
        ("alert_id.template", ["host"]),
        ("alert_id.template", ["time"]),
        ("source_type.column", ["kind"]),
        ("timestamp.column", ["at"]),
        ("expires_at.column", ["until"]),
        ("metadata.speed.column", ["v"]),
        ("events.time.column", ["updated"]),
        ("events.actor.column", ["by"]),
    ]


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ("metdata: {}", "metdata: unknown key; did you mean 'metadata'?"),
        (
            "colour: red",
            "colour: unknown key; known here: format, rows, row_key, row_columns, document_rows, csv, excel, encoding",
        ),
        ("dates: {zon: UTC}", "dates.zon: unknown key; did you mean 'zone'?"),
        ("metadata: {speed: {colum: v}}", "metadata.speed.colum: unknown key; did you mean 'column'?"),
        ("metadata: {speed: {column: v, type: number}}", "metadata.speed.type: Input should be 'str', 'int'"),
        ("metadata: {speed: {column: v, format: iso}}", "metadata.speed: format is for type date only"),
        ("metadata: {a.b: {column: v}}", "metadata.a.b: String should match pattern"),
        ("metadata: {$where: {column: v}}", "metadata.$where: String should match pattern"),
        ("dates: {zone: Mars/Base}", "dates.zone: expected an IANA time zone such as 'Europe/Berlin'; got 'Mars/Base'"),
        ("dates: {format: '%d/%m %H:%M'}", "dates.format: '%d/%m %H:%M' is not a valid date format"),
        ("dates: {format: '%Q'}", "dates.format: '%Q' is not a valid date format"),
        ("encoding: utf-9", "encoding: 'utf-9' is not a valid text encoding"),
        ("encoding: base64", "encoding: 'base64' is not a valid text encoding"),
        ("encoding: rot13", "encoding: 'rot13' is not a valid text encoding"),
        ("encoding: undefined", "encoding: 'undefined' is not a valid text encoding"),
        ("events: {time: {column: u}, state: s, states: {New: PENDING}}", "events.states.New: Input should be 'OPEN'"),
        ("events: {time: {column: u}, state: s, states: {}}", "events.states: Dictionary should have at least 1"),
        ('dates: {format: "%d.%m.%Y%Z"}', "expected %Z after a space"),
        ("rows: alerts", "rows is for format json or jsonl, and the format is csv"),
        ("row_key: id", "row_key is for format json, and the format is csv"),
        ("row_columns: first", "row_columns is for format json or jsonl, and the format is csv"),
        (
            "row_columns: [a, a]",
            "['a', 'a'] is not a valid row_columns: expected first, or a list of the columns' names",
        ),
        ("row_columns: last", "'last' is not a valid row_columns: expected first, or a list"),
        ("csv: {delimiter: ;;}", "csv.delimiter: ';;' is not a valid character here"),
        ("csv: {header_line: 0}", "csv.header_line: Input should be greater than or equal to 1"),
        ("numbers: {thousands: .}", "numbers: decimal and thousands must differ"),
        ('csv: {delimiter: ";", escape: ";"}', "csv: delimiter, quote and escape must differ"),
        ("expires_at: soon", "expires_at: Input should be an object"),
    ],
)
def test_a_fault_is_named_with_its_place_and_a_way_out(tmp_path: Path, added: str, complaint: str) -> None:
    with pytest.raises(MappingError) as caught:
        from_yaml(tmp_path, MINIMAL + f"    {added}\n")
    assert complaint in str(caught.value)
    assert str(tmp_path / "mapping.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("line", "instead", "complaint"),
    [
        ("timestamp: {column: at}", "", "timestamp: Field required"),
        (
            "alert_id: {column: id}",
            "alert_id: {}",
            "alert_id: expected exactly one of column, coalesce, template, content_hash",
        ),
        ("alert_id: {column: id}", "alert_id: {column: a, template: '{b}'}", "alert_id: expected exactly one of"),
        ("alert_id: {column: id}", "alert_id: {template: same}", "alert_id: 'same' is not a valid template"),
        ("alert_id: {column: id}", "alert_id: {template: '{a!r}'}", "'{a!r}' is not a valid template"),
        ("alert_id: {column: id}", "alert_id: {template: '{a'}", "alert_id: expected '}'"),
        ("severity: {constant: INFO}", "severity: {constant: HIGH}", "severity.constant: Input should be 'INFO'"),
        (
            "severity: {constant: INFO}",
            "severity: {constant: INFO, map: {a: INFO}}",
            "severity: map is for the values of a column",
        ),
        ("severity: {constant: INFO}", "severity: {column: p, map: {1: HIGH}}", "severity.map.1: Input should be"),
        ("format: csv", "format: xls", "format: Input should be 'csv', 'jsonl', 'json', 'xlsx' or 'parquet'"),
        ("format: csv", "format: csv\n    format: jsonl", "'format' is given twice"),
        ("format: csv", "format: [csv", "is not valid YAML"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, instead: str, complaint: str) -> None:
    with pytest.raises(MappingError) as caught:
        from_yaml(tmp_path, MINIMAL.replace(line, instead))
    assert complaint in str(caught.value)


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(MappingError) as caught:
        from_yaml(tmp_path, MINIMAL.replace("timestamp: {column: at}", "encoding: utf-9"))
    assert "encoding: 'utf-9'" in str(caught.value)
    assert "timestamp: Field required" in str(caught.value)


def test_events_and_a_content_hash_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps({**TICKETS, "alert_id": {"content_hash": "T"}}))
    with pytest.raises(MappingError, match="a content_hash differs for each row"):
        load_mapping(path)


@pytest.mark.parametrize("content", ["[1]", "null", '"text"', "{", '{"format": 1}'])
def test_json_that_is_no_mapping_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(content)
    with pytest.raises(MappingError, match=r"mapping\.json"):
        load_mapping(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="cannot be read: No such file"):
        load_mapping(tmp_path / "none.yaml")


def test_the_declared_fleet_export_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(FLEET))
    assert load_mapping(path).metadata["speed"].type == "float"
