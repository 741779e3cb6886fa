from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from alert_pipelines.loading.mapping_parts import Source
from alert_pipelines.loading.row_values import ValueReader
from alert_pipelines.loading.values import (
    BadValueError,
    date_converter,
    to_bool,
    to_float,
    to_int,
    to_text,
)

from .mappings import FLEET, mapping


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (to_text, "Zürich", "Zürich"),
        (to_text, 12, "12"),
        (to_text, True, "true"),
        (to_int, " 45 ", 45),
        (to_int, 45, 45),
        (to_int, "-9223372036854775808", -(2**63)),
        (to_float, "45", 45.0),
        (to_float, "1.5e3", 1500.0),
        (to_float, ".5", 0.5),
        (to_float, 7, 7.0),
        (to_bool, "TRUE", True),
        (to_bool, "0", False),
        (to_bool, False, False),
        (to_bool, 1, True),
        (to_bool, "Yes", True),
        (to_bool, "nein", False),
        (to_bool, "f", False),
    ],
)
def test_values_are_converted(convert: Any, value: Any, expected: Any) -> None:
    converted = convert(value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("convert", "value"),
    [
        (to_text, ["a"]),
        (to_text, {"a": 1}),
        (to_text, "\ud800"),
        (to_int, "1_000"),
        (to_int, "12.0"),
        (to_int, "9223372036854775808"),
        (to_int, "9" * 10_000),
        (to_int, "٣"),
        (to_int, True),
        (to_float, "nan"),
        (to_float, float("inf")),
        (to_float, "1e999"),
        (to_float, "12,5"),
        (to_bool, "perhaps"),
        (to_bool, "2"),
    ],
)
def test_what_is_no_such_value_is_refused(convert: Any, value: Any) -> None:
    with pytest.raises(BadValueError):
        convert(value)


@pytest.mark.parametrize(
    ("date_format", "zone", "value", "expected"),
    [
        ("iso", "UTC", "2025-01-15T10:30:00Z", datetime(2025, 1, 15, 10, 30, tzinfo=UTC)),
        ("iso", "Europe/Vienna", "2025-07-15T10:30:00", datetime(2025, 7, 15, 8, 30, tzinfo=UTC)),
        ("iso", "Europe/Vienna", "2025-07-15 10:30:00+05:30", datetime(2025, 7, 15, 5, 0, tzinfo=UTC)),
        ("iso", "UTC", "2025-01-15", datetime(2025, 1, 15, tzinfo=UTC)),
        ("%d/%m/%Y %H:%M", "UTC", "29/2/2016 01:16", datetime(2016, 2, 29, 1, 16, tzinfo=UTC)),
        ("%d.%m.%Y %H:%M %z", "UTC", "1.2.2016 01:00 +0200", datetime(2016, 1, 31, 23, 0, tzinfo=UTC)),
        ("epoch_s", "Europe/Vienna", "1642723347", datetime(2022, 1, 21, 0, 2, 27, tzinfo=UTC)),
        ("epoch_s", "UTC", 1642723347.25, datetime(2022, 1, 21, 0, 2, 27, 250_000, tzinfo=UTC)),
        ("epoch_s", "UTC", "-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("epoch_ms", "UTC", 1642723347250, datetime(2022, 1, 21, 0, 2, 27, 250_000, tzinfo=UTC)),
        ("excel", "UTC", "45731.2604166667", datetime(2025, 3, 15, 6, 15, tzinfo=UTC)),
        ("excel", "Europe/Berlin", "45853,5", datetime(2025, 7, 15, 10, 0, tzinfo=UTC)),
        ("excel", "UTC", 45731, datetime(2025, 3, 15, tzinfo=UTC)),
    ],
)
def test_dates_become_utc(date_format: str, zone: str, value: Any, expected: datetime) -> None:
    converted = date_converter(date_format, zone)(value)
    assert converted == expected
    assert converted.tzinfo is UTC


@pytest.mark.parametrize(
    ("date_format", "zone", "value"),
    [
        ("iso", "UTC", "31/12/2016"),
        ("iso", "UTC", 20250101.5),
        ("iso", "Asia/Tokyo", "0001-01-01T00:00:00"),
        ("%d/%m/%Y", "UTC", "30/2/2016"),
        ("epoch_s", "UTC", "1e300"),
        ("epoch_s", "UTC", True),
        ("epoch_ms", "UTC", "now"),
        ("epoch_s", "UTC", [1]),
        ("excel", "UTC", "1e300"),
        ("excel", "UTC", "15.3.2025"),
    ],
)
def test_what_is_no_date_is_refused(date_format: str, zone: str, value: Any) -> None:
    with pytest.raises(BadValueError):
        date_converter(date_format, zone)(value)


def test_a_text_that_a_column_repeats_was_converted_in_each_row() -> None:
    converted = Counter[str]()

    def convert(value: str) -> list[str] | str:
        converted[value] += 1
        return value.split(",") if "," in value else value

    read = ValueReader(mapping(FLEET)).optional(Source(column="tags"), convert)
    assert [read({"tags": "a"}) for _ in range(3)] == ["a"] * 3
    assert converted["a"] == 1
    # An alert may be changed, and is changed alone.
    assert read({"tags": "a,b"}) is not read({"tags": "a,b"})
    # Nor does what is remembered grow with the file.
    assert [read({"tags": str(n)}) for n in range(2_000)] == [str(n) for n in range(2_000)]
    assert (read({"tags": "a"}), converted["a"]) == ("a", 2)
    assert [read({"tags": "a" * 1_000}) for _ in range(2)] == ["a" * 1_000] * 2
    assert converted["a" * 1_000] == 2
