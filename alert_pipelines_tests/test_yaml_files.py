"""What the words of a YAML file mean, and that no two loaders of this project differ in it."""

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from alert_pipelines.yaml_files import parse_yaml, read_yaml

TEXTS = ("off", "no", "YES", "0045", "0x1F", "0o17", "12:30", "1:30.5", "1_000", "1_0.5", "1e3", "=", "2026-1-2")
DAY = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *((text, text) for text in TEXTS),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, None) for text in ("", "~", "null")),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.5e+3", 1500.0),
        ("2026-03-01", date(2026, 3, 1)),
        ("2026-03-01T10:30:00Z", DAY),
        ("2026-03-01 11:30:00 +01:00", DAY),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_a_word_means_what_people_mean_by_it(text: str, meant: Any) -> None:
    assert parse_yaml(text) == meant


@given(st.text("0123456789.-+eE:_ ~nulTrefasyoZ=<", max_size=12))
@example("2026-01-02")
@example("2026-1-2")
@example("-.5")
@example("1.5e3")
def test_a_text_that_is_written_is_read_back_as_that_text(text: str) -> None:
    assert parse_yaml(yaml.safe_dump({"value": text})) == {"value": text}


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("name", ["twice.yaml", "twice.json"])
def test_a_key_given_twice_in_a_json_mapping_kept_the_last(tmp_path: Path, name: str, as_text: bool) -> None:
    path = tmp_path / name
    path.write_text('{"format": "csv", "format": "jsonl"}')
    with pytest.raises(ValueError, match=f"is not valid {path.suffix[1:].upper()}: 'format' is given twice"):
        read_yaml(path, as_text=as_text)


def test_a_value_map_of_many_keys_was_looked_through_once_a_key(tmp_path: Path) -> None:
    values = {f"driver-{number}": "north" for number in range(40_000)}
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(values))
    began = time.process_time()
    assert read_yaml(path) == values
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "a: [", "[" * 1_000, "- a\nb: c"])
def test_what_is_not_yaml_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"YAML|line 1|recursion"):
        parse_yaml(text)


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: *x}", "&x [{a: 1}, {b: [*x]}]", "a: &x {<<: *x}"])
def test_a_file_that_contains_itself_was_read_for_ever(text: str, as_text: bool) -> None:
    with pytest.raises(ValueError, match="it contains itself, by an alias within its anchor"):
        parse_yaml(text, as_text=as_text)


def test_aliases_that_multiply_were_all_written_out() -> None:
    lines = ["a0: &a0 []", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30))]
    with pytest.raises(ValueError, match="its aliases stand for over 1000000 values"):
        parse_yaml("\n".join(lines))
    assert parse_yaml("\n".join(lines[:4]))["a3"] == [[[[]] * 10] * 10] * 10
