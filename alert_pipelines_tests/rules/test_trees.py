"""The reference page, sentence by sentence, on awkward values: condition trees and their tests."""

from datetime import UTC, datetime

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.rules.tables import (
    AS_OF,
    MISSING,
    MS,
    Row,
    ago,
    clause_of,
    due,
    each,
    insert,
    leaf,
    names,
    x,
)

NAN = float("nan")

LEAVES = [
    Row(
        "`45` equals `45.0`, also as long or decimal; an array, where one of its elements does",
        leaf("eq", 45),
        x(45, 45.0, Int64(45), Decimal128("45.0"), [45], ["a", 45.0]),
        x("45", 45.1, True, NAN, None, MISSING, "", [], [None], [[45]], {"x": 45}, AS_OF),
    ),
    Row('`"45"` is not `45`', leaf("eq", "45"), x("45", [45, "45"]), x(45, "45 ", "045", None, MISSING, [])),
    Row("`true` is not `1`", leaf("eq", True), x(True, [False, True]), x(1, 1.0, "true", False, None, MISSING)),
    Row("`1` is not `true`", leaf("eq", 1), x(1, 1.0), x(True, "1", MISSING)),
    Row("false is not missing, null or 0", leaf("eq", False), x(False), x(0, None, MISSING, "", [])),
    Row("an empty text is a value", leaf("eq", ""), x(""), x(None, MISSING, [], " ")),
    Row("0 equals -0.0", leaf("eq", 0), x(0, -0.0), x(False, None, "", MISSING)),
    Row("whole numbers are exact", leaf("eq", 2**53 + 1), x(2**53 + 1), x(2**53, 2.0**53)),
    Row("`metadata.tags eq x` holds for [x, y]", leaf("eq", "x"), x(["x", "y"]), x([], [["x"]], {"x": "x"})),
    Row(
        "`ne`: `eq` does not hold; so also for a missing field",
        leaf("ne", 45),
        x(MISSING, None, "45", [], [46], True, NAN),
        x(45, 45.0, [1, 45]),
    ),
    Row(
        "`lt`: some value of the same kind; NaN is not ordered",
        leaf("lt", 45),
        x(44, 44.9, -1, float("-inf"), Decimal128("44.9"), [99, 44]),
        x(45, 45.0, "44", "", True, False, NAN, Decimal128("NaN"), None, MISSING, [], {}, ago(1)),
    ),
    Row("`lte`: or equal", leaf("lte", 45), x(45, 45.0, 44), x(46, "45", NAN, None, MISSING)),
    Row("`gt`: exact beyond what a double holds", leaf("gt", 2**53), x(2**53 + 1), x(2**53, 2.0**53, NAN)),
    Row("`gte`: or equal", leaf("gte", 45), x(45, 45.0, 99, [1, 99]), x(44.9, "99", AS_OF, NAN, True)),
    Row("texts are ordered among texts", leaf("gt", "b"), x("c", "bb", "é", ["a", "c"]), x("b", "B", "", 99, None)),
    Row("texts are compared by their UTF-8 bytes", leaf("gt", "\uffff"), x("😀"), x("\ufffe", "z", "")),
    Row("`lt` of texts: an empty one comes first", leaf("lt", "a"), x("", "Z"), x("a", 1, None, MISSING)),
    Row("`in`: `eq` holds for one", leaf("in", [45, "a"]), x(45.0, "a", ["b", "a"]), x("45", None, MISSING, [])),
    Row("kinds do not mix in `in`", leaf("in", [1, "true"]), x(1, "true"), x(True, "1", MISSING)),
    Row("`not_in`: also a missing field", leaf("not_in", [45, "a"]), x(MISSING, None, "45", []), x(45, ["a"])),
    Row(
        "`exists`: not null; an empty array exists",
        leaf("exists"),
        x("", 0, False, [], {}, [None], NAN),
        x(None, MISSING),
    ),
    Row("`missing`: `exists` does not hold", leaf("missing"), x(None, MISSING), x("", 0, False, [], {}, [None])),
    Row(
        "`older_than_mins`: at or before; a date kept as text is a text",
        leaf("older_than_mins", 60),
        x(ago(60), ago(60) - MS, ago(60).replace(tzinfo=None), datetime(1969, 7, 20, tzinfo=UTC), [AS_OF, ago(61)]),
        x(ago(60) + MS, AS_OF, "2020-01-01T00:00:00Z", 0, "", None, MISSING, [], {}),
    ),
    Row(
        "`newer_than_mins`: after, dates to come included",
        leaf("newer_than_mins", 60),
        x(ago(60) + MS, AS_OF, ago(-60), datetime(9999, 1, 1, tzinfo=UTC), [ago(90), ago(1)]),
        x(ago(60), datetime(1969, 7, 20, tzinfo=UTC), "2099-01-01T00:00:00Z", 2**53, None, MISSING, []),
    ),
    Row(
        "a path goes on through an array into every one of its documents",
        leaf("eq", 45, field="metadata.a.b"),
        each("metadata", {"a": {"b": 45}}, {"a": [{"b": 1}, {"b": 45}]}, {"a": [{"b": [1, 45]}]}, [{"a": {"b": 45}}]),
        each("metadata", {"a": [[{"b": 45}]]}, {"a": 45}, {"a": [45]}, {"a.b": 46}, {}, [], "text", None, MISSING),
    ),
    Row(
        "`exists` through an array: some value at the path is not null",
        leaf("exists", field="metadata.a.b"),
        each("metadata", {"a": [{"b": None}, {"b": 0}]}, {"a": {"b": []}}),
        each("metadata", {"a": [{"b": None}]}, {"a": []}, {"a": [{}]}, {"a": None}, None, MISSING),
    ),
    Row(
        "`all`: every part, each by any element",
        {"close_if": {"all": [leaf("gt", 5)["close_if"], leaf("lt", 3)["close_if"]]}},
        x([1, 9]),
        x(4, 1, 9, [1], MISSING),
    ),
    Row(
        "`any`: one part", {"close_if": {"any": [leaf("eq", 1)["close_if"], leaf("eq", 2)["close_if"]]}}, x(1, 2), x(3)
    ),
    Row(
        "`not`: its part does not hold",
        {"close_if": {"not": leaf("gt", 5)["close_if"]}},
        x(5, "9", MISSING),
        x(6, [1, 6]),
    ),
]


@pytest.mark.parametrize("row", LEAVES, ids=lambda row: row.sentence)
def test_a_condition_on_the_alert_itself(db: AlertDatabase, row: Row) -> None:
    insert(db, [*row.holds, *row.fails])

    assert due(db, clause_of(row.conditions)) == names(range(len(row.holds)))
