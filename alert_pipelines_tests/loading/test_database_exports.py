"""Files as databases write them: values after a backslash, tables of a terminal, bulk requests of Elasticsearch."""

import json
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.loading import load_mapping, preview
from alert_pipelines.loading.draft import draft_mapping
from alert_pipelines.loading.mapping_parts import Csv, Layout
from alert_pipelines.loading.presets import load_preset
from alert_pipelines.loading.preview import Preview
from alert_pipelines.loading.readers import BadRow, read_rows


def drafted(path: Path, content: str) -> Preview:
    path.write_text(content, encoding="utf-8")
    mapping = path.parent / "mapping.yaml"
    mapping.write_text(draft_mapping(path), encoding="utf-8")
    return preview(path, load_mapping(mapping))


def notes(found: Preview) -> dict[str, Any]:
    return {alert["alert_id"]: alert["metadata"].get("note") for alert in found.alerts}


MYSQL = """id\tcreated_at\tclosed_at\tnote
1\t2026-01-01 10:00:00\t\\N\ta\\\tb
2\t2026-01-01 11:00:00\t2026-01-01 12:00:00\tone\\
two
3\t2026-01-01 11:30:00\t\\N\tC:\\\\temp
4\t2026-01-01 11:31:00\t\\N\t"x" is odd
"""
POSTGRES = """id\tcreated_at\tclosed_at\tnote
1\t2026-01-01 10:00:00+00\t\\N\ta\\tb
2\t2026-01-01 11:00:00+00\t2026-01-01 12:00:00+00\tone\\ntwo
3\t2026-01-01 11:30:00+00\t\\N\tC:\\\\temp
4\t2026-01-01 11:31:00+00\t\\N\t\\N
"""
QUOTED = r""""id","created_at","closed_at","note"
"1","2026-01-01 10:00:00",\N,"he said \"no\", left"
"2","2026-01-01 11:00:00","2026-01-01 12:00:00","{\"a\": 1}"
"3","2026-01-01 11:30:00",\N,"C:\\temp"
"""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (MYSQL.replace('"x" is', "it is"), {"1": "a\tb", "2": "one\ntwo", "3": "C:\\temp", "4": "it is odd"}),
        (POSTGRES, {"1": "a\tb", "2": "one\ntwo", "3": "C:\\temp", "4": None}),
        (QUOTED, {"1": 'he said "no", left', "2": '{"a": 1}', "3": "C:\\temp"}),
    ],
    ids=["mysql", "postgres", "quoted"],
)
def test_a_backslash_before_a_character_was_part_of_the_value_or_spoiled_its_row(
    tmp_path: Path, content: str, expected: dict[str, Any]
) -> None:
    found = drafted(tmp_path / "a.tsv", content)
    assert (found.rows_rejected, notes(found)) == (0, expected), found.reject_reasons
    assert [alert["status"] for alert in found.alerts[:3]] == ["OPEN", "RESOLVED", "OPEN"]


def test_a_quote_at_the_start_of_a_value_between_tabs_is_kept_where_nothing_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(MYSQL, encoding="utf-8")
    rows = list(read_rows(path, Layout(format="csv", csv=Csv(delimiter="\t", quote="none", escape="\\"))))
    assert [row.values["note"] for row in rows if not isinstance(row, BadRow)][-1] == '"x" is odd'


def test_a_backslash_that_escapes_nothing_is_kept(tmp_path: Path) -> None:
    found = drafted(tmp_path / "a.csv", 'id,at,note\n1,2026-01-01 10:00,"C:\\temp\\"\n2,2026-01-01 10:00,"D:\\n, x"\n')
    assert notes(found) == {"1": "C:\\temp\\", "2": "D:\\n, x"}


def test_a_row_with_an_escaped_quote_was_rejected_without_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,note\n1,"a \\" b"\n', encoding="utf-8")
    [bad] = read_rows(path, Layout(format="csv"))
    assert isinstance(bad, BadRow)
    assert bad.reason.endswith(r'if \ escapes quotes, write csv: {escape: "\\"}')


TABLES = (
    """+----+---------------------+----------+------+
| id | created_at          | severity | note |
+----+---------------------+----------+------+
|  1 | 2026-01-01 10:00:00 | high     | x    |
|  2 | 2026-01-01 11:00:00 | low      | NULL |
+----+---------------------+----------+------+
""",
    """ id |       created_at       | severity | note
----+------------------------+----------+------
  1 | 2026-01-01 10:00:00+00 | high     | x
  2 | 2026-01-01 11:00:00+00 | low      |
""",
    """| id | created_at | severity | note |
|----|:-----------|---------:|------|
| 1 | 2026-01-01 10:00 | high | x |
| 2 | 2026-01-01 11:00 | low | |
""",
)


@pytest.mark.parametrize("content", TABLES, ids=["mysql", "psql", "markdown"])
def test_the_lines_of_a_table_were_rows(tmp_path: Path, content: str) -> None:
    found = drafted(tmp_path / "a.txt", content)
    assert (found.rows_rejected, notes(found)) == (0, {"1": "x", "2": None}), found.reject_reasons
    assert [alert["severity"] for alert in found.alerts] == ["CRITICAL", "INFO"]


def test_a_value_with_the_delimiter_of_a_table_lost_its_end(tmp_path: Path) -> None:
    found = drafted(tmp_path / "a.txt", TABLES[0] + "|  3 | 2026-01-01 12:00:00 | low      | a | b |\n")
    assert (found.rows_rejected, list(notes(found))) == (1, ["1", "2"])


def test_an_action_of_a_bulk_request_was_a_row_and_its_document_had_no_id(tmp_path: Path) -> None:
    document = {"kibana.alert.start": "2026-01-01T10:00:00Z", "kibana.alert.severity": "high", "host": {"name": "h1"}}
    lines = [{"index": {"_index": "alerts", "_id": "a1"}}, document, {"create": {"_id": "a2"}}, document]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    by_draft = drafted(tmp_path / "bulk.ndjson", content)
    for found in (by_draft, preview(tmp_path / "bulk.ndjson", load_preset("elastic"))):
        assert (found.rows_rejected, found.rows_read) == (0, 2), found.reject_reasons
        assert [alert["alert_id"] for alert in found.alerts] == ["a1", "a2"]
        assert [alert["severity"] for alert in found.alerts] == ["CRITICAL", "CRITICAL"]


def test_a_row_with_one_column_is_not_an_action(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"index": 1}\n{"index": {"name": "x"}}\n', encoding="utf-8")
    assert [row.text for row in read_rows(path, Layout(format="jsonl"))] == ['{"index": 1}', '{"index": {"name": "x"}}']
