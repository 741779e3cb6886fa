import gzip
import json
from pathlib import Path

import pytest

from alert_pipelines.errors import LoadError
from alert_pipelines.loading.readers import KEPT_OF_LINE, MAX_LINE, BadRow, Row, read_rows

from .mappings import FLEET, mapping, write

HEADER = "id,source,severity,at,driver,speed\n"
CSV = mapping(FLEET)
JSONL = mapping(FLEET, format="jsonl")


def good(line: int, alert_id: str) -> str:
    return f"{alert_id},SAFETY,INFO,2025-01-01,D{line},1\n"


def outcome(path: Path, declared: object = CSV) -> list[tuple[int, str]]:
    """Each row's line with its id, or with the reason it is bad."""
    rows = read_rows(path, declared)  # type: ignore[arg-type]
    return [(row.line, row.values["id"] if isinstance(row, Row) else row.reason) for row in rows]


def test_rows_carry_their_line_and_blank_ones_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + good(2, "A") + "\n" + good(4, "B").rstrip())
    assert outcome(path) == [(2, "A"), (4, "B")]


def test_a_value_over_several_lines_is_one_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + '"A\nA",SAFETY,INFO,2025-01-01,D,1\n' + good(4, "B"))
    assert outcome(path) == [(2, "A\nA"), (4, "B")]


def test_a_stray_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    bad = '"A,SAFETY,INFO,2025-01-01,D,1\n'
    path = write(tmp_path / "a.csv", HEADER + bad + good(3, "B") + good(4, '"C"') + good(5, "D") + bad)
    rows = list(read_rows(path, CSV))
    assert [(row.line, isinstance(row, BadRow)) for row in rows] == [
        (2, True),
        (3, False),
        (4, False),
        (5, False),
        (6, True),
    ]
    assert rows[0].text == bad.rstrip()


def test_a_stray_quote_before_megabytes_of_rows_costs_its_own_line_only(tmp_path: Path) -> None:
    count = 10_000
    path = write(tmp_path / "a.csv", HEADER + '"A,\n' + "".join(good(n, f"B{n}") for n in range(count)))
    rows = list(read_rows(path, CSV))
    assert isinstance(rows[0], BadRow)
    assert sum(isinstance(row, Row) for row in rows) == count


def test_a_row_with_too_few_or_too_many_values_is_bad(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + "A,SAFETY\n" + "B,,,,,,7\n" + good(4, "C"))
    assert outcome(path) == [(2, "2 values for 6 columns"), (3, "7 values for 6 columns"), (4, "C")]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_byte_order_mark_windows_lines_and_gzip_make_no_difference(tmp_path: Path, name: str) -> None:
    content = ("\ufeff" + HEADER + good(2, "A")).replace("\n", "\r\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    [row] = read_rows(tmp_path / name, CSV)
    assert isinstance(row, Row)
    assert (row.values["id"], row.values["speed"]) == ("A", "1")


def test_the_declared_encoding_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((HEADER + good(2, "Zürich")).encode("latin-1"))
    assert outcome(path, mapping(FLEET, encoding="latin-1")) == [(2, "Zürich")]


@pytest.mark.parametrize("length", [MAX_LINE, MAX_LINE + 1, 2 * MAX_LINE, 2 * MAX_LINE + 1])
@pytest.mark.parametrize("tail", ["", "\n", "\r\n"])
def test_a_line_too_long_is_one_bad_row_with_its_beginning(tmp_path: Path, length: int, tail: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "x" * length + tail + (good(3, "B") if tail else ""), newline="")
    bad, *rest = read_rows(path, CSV)
    assert isinstance(bad, BadRow)
    assert (bad.line, len(bad.text)) == (2, KEPT_OF_LINE)
    assert "of 1,000,000 characters or more" in bad.reason
    assert [row.line for row in rest] == ([3] if tail else [])


def test_the_end_of_a_line_too_long_is_no_row_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + good(2, "x" * MAX_LINE) + good(3, "B"))
    assert [line for line, _ in outcome(path)] == [2, 3]
    path = write(tmp_path / "a.jsonl", '{"id": "'.ljust(MAX_LINE, "x") + '{"id": "A"}\n{"id": "B"}\n')
    assert [line for line, _ in outcome(path, JSONL)] == [1, 2]


def test_a_line_just_short_enough_is_read(tmp_path: Path) -> None:
    row = {"id": "A", "note": ""}
    row["note"] = "x" * (MAX_LINE - 1 - len(json.dumps(row)))
    path = write(tmp_path / "a.jsonl", json.dumps(row) + "\n" + json.dumps({"id": "B"}))
    assert outcome(path, JSONL) == [(1, "A"), (2, "B")]


@pytest.mark.parametrize(
    "long", ['"one\n{}\ntwo",', '"{}\ntwo",', '"one\n{}",', '"one\ntwo {}","three\nfour",', '"a ""quote\n{}""\n",']
)
def test_a_value_with_a_line_too_long_in_it_is_bad_to_its_closing_quote(tmp_path: Path, long: str) -> None:
    record = long.format("x" * MAX_LINE) + "SAFETY,INFO,2025-01-01,D,1\n"
    path = write(tmp_path / "a.csv", HEADER + record + good(9, "B"))
    bad, row = read_rows(path, CSV)
    assert isinstance(bad, BadRow)
    assert (bad.line, row.line) == (2, 2 + record.count("\n"))
    assert isinstance(row, Row)


def test_a_stray_quote_in_a_line_too_long_costs_this_line_only(tmp_path: Path) -> None:
    rows = good(3, "B") + good(4, '"C"') + good(5, "D")
    path = write(tmp_path / "a.csv", HEADER + '"' + "x" * MAX_LINE + "\n" + rows)
    assert outcome(path)[1:] == [(3, "B"), (4, "C"), (5, "D")]
    path.write_text(HEADER + '"stray\n' + "x" * MAX_LINE + "\n" + rows)
    assert [line for line, _ in outcome(path)] == [2, 3, 4, 5, 6]


def test_a_header_too_long_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="the header is a line of 1,000,000 characters or more"):
        list(read_rows(write(tmp_path / "a.csv", "id," + "x" * MAX_LINE + "\n" + good(2, "A")), CSV))


def test_json_lines_that_are_malformed_are_bad_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = ['{"id": "A"}', "", '{"id": ', "[1]", "3", "[" * 100_000, '{"id": ' + "9" * 5000 + "}", '{"id": "B"}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    found = outcome(path, JSONL)
    assert [line for line, _ in found] == [1, 3, 4, 5, 6, 7, 8]
    assert (found[0][1], found[-1][1]) == ("A", "B")
    assert found[1][1] == "not valid JSON at column 8: Expecting value"
    assert found[2][1] == "a list where an object is expected: write row_columns for rows that are lists"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "has no header"),
        ("\n", "has no header"),
        ("id,id,at\n", "has several columns id"),
        ('"id\n', "the header is not valid CSV"),
        (HEADER.replace("severity", "Severity"), "severity.column: no column 'severity', did you mean 'Severity'"),
        (HEADER.replace(",", ";"), "Its columns: id;source"),
    ],
)
def test_a_header_that_does_not_fit_is_an_error_that_says_how(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(LoadError) as caught:
        list(read_rows(write(tmp_path / "a.csv", content), CSV))
    assert complaint in str(caught.value)


def test_a_json_array_is_an_error_that_says_how(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="is a JSON array, not JSON Lines: write format: json"):
        list(read_rows(write(tmp_path / "a.jsonl", '[\n{"id": "A"}\n]\n'), JSONL))


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot be opened: No such file"):
        list(read_rows(tmp_path / "none.csv", CSV))
    with pytest.raises(LoadError, match="cannot be opened: Is a directory"):
        list(read_rows(tmp_path, CSV))


def test_a_gzip_file_that_is_none_or_is_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_text(HEADER)
    with pytest.raises(LoadError, match=r"is not a valid gzip file: its name ends in \.gz.*Rename it without \.gz"):
        list(read_rows(path, CSV))
    whole = gzip.compress((HEADER + "".join(good(n, f"A{n}") for n in range(50_000))).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match=r"after line \d{4,}: Compressed file ended"):
        list(read_rows(path, CSV))
    path.write_bytes(whole[:200] + bytes(200) + whole[400:])
    with pytest.raises(LoadError, match="cannot be read: Error -3"):
        list(read_rows(path, CSV))
