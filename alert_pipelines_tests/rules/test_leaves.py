"""The reference page, sentence by sentence, on awkward values: dates to come, texts, and other fields of the alert."""

from typing import Any

import pytest
from bson import Regex, encode
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.rules.tables import AS_OF, MISSING, MS, Fields, Row, ago, clause_of, due, each, insert, names

NAN = float("nan")


def leaf(op: str, value: object, **more: Any) -> dict[str, Any]:
    return {"close_if": {"field": "metadata.x", "op": op, "value": value, **more}}


def compared(op: str, **more: Any) -> dict[str, Any]:
    return {"close_if": {"field": "metadata.x", "op": op, "value_of": "metadata.y", **more}}


def x(*values: object) -> list[Fields]:
    return each("metadata.x", *values)


def xy(*pairs: tuple[object, object]) -> list[Fields]:
    return [
        {"metadata": {name: value for name, value in zip("xy", pair, strict=True) if value is not MISSING}}
        for pair in pairs
    ]


LEAVES = [
    Row(
        "`within_mins`: after as_of and at or before as_of + n, one date of an array by itself",
        leaf("within_mins", 60),
        x(AS_OF + MS, ago(-60), ago(-1).replace(tzinfo=None), [ago(1), ago(-1)], [{"z": 1}, ago(-60)]),
        x(AS_OF, ago(-60) + MS, ago(1), [ago(1), ago(-61)], "2099-01-01", 60, None, MISSING, [], [[ago(-1)]]),
    ),
    Row(
        "`within_mins` through an array of documents: one date by itself",
        {"close_if": {"field": "metadata.x.y", "op": "within_mins", "value": 60}},
        x({"y": ago(-1)}, [{"y": ago(1)}, {"y": ago(-1)}], [{"y": [ago(-90), ago(-60)]}]),
        x([{"y": ago(1)}, {"y": ago(-61)}], [[{"y": ago(-1)}]], ago(-1), [ago(-1)], {}, None, MISSING),
    ),
    Row(
        "`beyond_mins`: after as_of + n",
        leaf("beyond_mins", 60),
        x(ago(-60) + MS, [ago(1), ago(-61)]),
        x(ago(-60), AS_OF, "2099-01-01", 2**53, None, MISSING, []),
    ),
    Row(
        "`contains`: some text has it in it, upper and lower case apart",
        leaf("contains", "a.b"),
        x("a.b", "xa.by", ["z", "a.b"], "ü\na.b\n"),
        x("A.B", "axb", "a", "", 1, True, None, MISSING, [], [["a.b"]], {"a.b": 1}, Regex("a\\.b"), Regex("a.b")),
    ),
    Row(
        "`starts_with`",
        leaf("starts_with", "Ü("),
        x("Ü(", "Ü(1)", ["x", "Ü("]),
        x("ü(", " Ü(", "x\nÜ(", "Ü", None, MISSING, Regex("^Ü\\(")),
    ),
    Row("`ends_with`", leaf("ends_with", "$"), x("$", "5 $", ["x", "$"]), x("$\n", "$ ", "5", "", None, MISSING)),
    Row(
        "`ignore_case`: in every script, letter by letter",
        leaf("contains", "Straße É-z", ignore_case=True),
        x("STRAßE é-Z", "x straße é-z", ["x", "Straße É-z"]),
        x("STRASSE É-Z", "Strae É-z", "e", None, MISSING),
    ),
    Row(
        "`ignore_case` of `starts_with` and `ends_with`",
        {"close_if": {"all": [leaf(op, "oK", ignore_case=True)["close_if"] for op in ("starts_with", "ends_with")]}},
        x("ok", "OK, ok", "Ok\nOK"),
        x("ok!", " ok", "o", ""),
    ),
    Row(
        "what means something in a pattern means itself",
        leaf("contains", "\\E.*[^a]{2}(?i)|$\n\0#"),
        x("\\E.*[^a]{2}(?i)|$\n\0#"),
        x("bb", "", "\\E", "anything"),
    ),
    Row(
        "`value_of` with `plus`: numbers",
        compared("lte", plus=5),
        xy((84, 80), (85.0, 80), (Int64(85), Decimal128("80.0")), ([99, 85], 80), (85, [1, 80]), (-1, float("inf"))),
        xy((85.5, 80), ("84", 80), (84, "80"), (84, None), (84, MISSING), (MISSING, 80), (True, 80), (1, True))
        + xy((NAN, 80), (84, NAN), (Decimal128("NaN"), 80), (84, Decimal128("NaN")), ([], 80), (84, []), (84, [[80]])),
    ),
    Row(
        "`value_of` with `times`, then `plus`",
        compared("gt", times=1.5, plus=-2),
        xy((14, 10), (13.1, 10), (0, 1)),
        xy((13, 10), (13, Decimal128("10")), (14, "10"), (ago(1), 10)),
    ),
    Row(
        "`times` and `plus` are reckoned in decimals: a limit of 100 and 1.1 are 110, and 0.1 and 0.2 are 0.3",
        {"close_if": {"all": [compared(op, times=1.1, plus=0.2)["close_if"] for op in ("gte", "lte", "eq")]}},
        xy((110.2, 100), (55.2, 50), (1.3, 1.0), (Decimal128("110.2"), 100.0), (0.31, 0.1), (110.2, Decimal128("100"))),
        xy((110.20000001, 100), (110.19, 100), (110, 100), (float("inf"), 1e308)),
    ),
    Row(
        "`times` and `plus` of what has no number as its result",
        compared("eq", times=0),
        xy((0, 5), (-0.0, 5), (0, -5.5), (NAN, float("inf")), (NAN, NAN)),
        xy((0, float("inf")), (0, NAN), (1, 1)),
    ),
    Row(
        "`value_of` among texts and among dates",
        compared("gt"),
        xy(("b", "a"), ("é", "z"), (ago(1), ago(2)), (2, 1), ([1, "b"], ["a", ago(1)])),
        xy(("a", "b"), ("a", "a"), ("2", 1), (ago(2), ago(1)), (ago(1), "a"), (True, False), ({"a": 2}, {"a": 1})),
    ),
    Row(
        "`eq` with `value_of`",
        compared("eq"),
        xy((1, 1.0), ("a", "a"), (True, True), (ago(1), ago(1)), ([1, 2], [2, 3]), (NAN, NAN)),
        xy((1, True), ("1", 1), (None, None), (MISSING, MISSING), (None, MISSING), ({}, {}), ([], []), (1, 2)),
    ),
    Row(
        "`ne` with `value_of`: `eq` does not hold; so also for a missing field",
        compared("ne"),
        xy((1, 2), ("1", 1), (1, MISSING), (MISSING, 1), (None, None)),
        xy((1, 1.0), ("a", "a"), ([1, 2], 2)),
    ),
    Row(
        "`value_of` goes on through arrays",
        {"close_if": {"field": "metadata.x.z", "op": "lt", "value_of": "metadata.y.z"}},
        xy(({"z": 1}, {"z": 2}), ([{"z": 9}, {"z": [8, 1]}], [{"z": 0}, 7, {"z": 2}])),
        xy(({"z": 1}, 2), ([[{"z": 1}]], {"z": 2}), ({"z": 1}, {"z": [[2]]}), ([], {"z": 2})),
    ),
]


@pytest.mark.parametrize("row", LEAVES, ids=lambda row: row.sentence)
def test_a_leaf(db: AlertDatabase, row: Row) -> None:
    insert(db, [*row.holds, *row.fails])

    assert due(db, clause_of(row.conditions)) == names(range(len(row.holds)))


@pytest.mark.parametrize("op", ["contains", "starts_with", "ends_with"])
@pytest.mark.parametrize("ignore_case", [False, True])
def test_one_text_that_is_not_utf_8_fails_no_rule(db: AlertDatabase, op: str, ignore_case: bool) -> None:
    insert(db, x("abc"))
    [stored] = db.alerts.find()
    broken = RawBSONDocument(encode({**stored, "_id": "broken", "alert_id": "broken"}).replace(b"abc\0", b"a\xffc\0"))
    db.alerts.insert_one(broken)
    text = {"contains": "b", "starts_with": "ab", "ends_with": "bc"}[op]

    assert due(db, clause_of(leaf(op, text, ignore_case=ignore_case))) == ["a00"]
