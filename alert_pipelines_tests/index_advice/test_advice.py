import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.alerts import INDEXES
from alert_pipelines.errors import IndexConflictError
from alert_pipelines.index_advice.advice import Advice, advise, create_advised, lacking_indexes
from alert_pipelines.index_advice.choice import AdvisedIndex
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.rules.model import CLOSE_CONDITIONS, ESCALATE_CONDITIONS, Rule
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines_tests.factories import AS_OF, ago, alert, rule

ALERTS = 6_000
ARRAY_AND_ARRAY = {"all": [{"field": f"metadata.{name}", "op": "eq", "value": "few"} for name in ("tags", "codes")]}


def _metadata(n: int) -> dict[str, Any]:
    return {
        "driver_id": f"D{n % 50}",
        # In blocks, so that the newest of a vehicle is not met by chance.
        "depot_id": f"V{n // 150}",
        "zone": f"Z{n // 150 % 4}",
        "speed": n,
        "expiry_date": ago(n),
        "due_date": ago(-n),
        "label": f"{n} of all",
        "document_valid": n % 1000 == 0,
        "half": n % 2,
        # Each leaves 300, both together 15.
        "row": n % 20,
        "column": n // 20 % 20,
    } | ({"note": "x"} if n % 1000 == 1 else {})


@pytest.fixture(scope="module")
def filled(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertDatabase]:
    settings = MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", Path(tmp_path_factory.getbasetemp()))
    with open_database(settings) as database:
        prepare_collections(database)
        database.alerts.insert_many(
            alert(minutes=n, metadata=_metadata(n), severity="INFO" if n < 10 else "WARNING")
            for n in range(1, ALERTS + 1)
        )
        database.alerts.insert_many(alert(minutes=n, metadata={}, source_type="KEYLESS") for n in range(1, ALERTS + 1))
        # Without an index, each of the many alerts has all of these read.
        database.alerts.insert_many(alert(minutes=n, metadata={}, source_type="OTHER") for n in range(1, 61))
        yield database
        database.client.drop_database(database.name)


@pytest.fixture
def db(filled: AlertDatabase) -> AlertDatabase:
    filled.rules.delete_many({})
    own = {"_id_", *(index.document["name"] for index in INDEXES)}
    for index in filled.alerts.list_indexes():
        if index["name"] not in own:
            filled.alerts.drop_index(index["name"])
    return filled


def _advise(db: AlertDatabase, conditions: dict[str, Any], **fields: Any) -> list[Advice]:
    db.rules.delete_many({})
    db.rules.insert_one(rule("r", conditions, **fields))
    return advise(db, AS_OF)


def _leaf(name: str, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": f"metadata.{name}", "op": op} | ({} if value is None else {"value": value})


PENDING_OF_SOURCE = ("source_type", "status")
HELPED: dict[str, tuple[dict[str, Any], list[tuple[str, ...]]]] = {
    "auto_close_if": ({"auto_close_if": "document_valid"}, [("metadata.document_valid",)]),
    "eq": ({"close_if": _leaf("document_valid", "eq", True)}, [("metadata.document_valid",)]),
    "escalate_if": ({"escalate_if": _leaf("document_valid", "eq", True)}, [("metadata.document_valid",)]),
    "only_if": ({"expire_after_mins": 1, "only_if": _leaf("speed", "lt", 5)}, [("metadata.speed",)]),
    "only_if with an any beside": (
        {"close_if": {"any": [_leaf("half", "eq", 1), _leaf("speed", "gt", 1)]}, "only_if": _leaf("speed", "lt", 5)},
        [("metadata.speed",)],
    ),
    "in": ({"close_if": _leaf("speed", "in", [1, 2, 3])}, [("metadata.speed",)]),
    "lt": ({"close_if": _leaf("speed", "lt", 5)}, [("metadata.speed",)]),
    "lte": ({"close_if": _leaf("speed", "lte", 5)}, [("metadata.speed",)]),
    "gt": ({"close_if": _leaf("speed", "gt", ALERTS - 5)}, [("metadata.speed",)]),
    "gte": ({"close_if": _leaf("speed", "gte", ALERTS - 5)}, [("metadata.speed",)]),
    "exists": ({"close_if": _leaf("note", "exists")}, [("metadata.note",)]),
    "older_than_mins": ({"close_if": _leaf("expiry_date", "older_than_mins", ALERTS - 5)}, [("metadata.expiry_date",)]),
    "newer_than_mins": ({"close_if": _leaf("expiry_date", "newer_than_mins", 5)}, [("metadata.expiry_date",)]),
    "within_mins": ({"close_if": _leaf("due_date", "within_mins", 5)}, [("metadata.due_date",)]),
    "beyond_mins": ({"close_if": _leaf("due_date", "beyond_mins", ALERTS - 5)}, [("metadata.due_date",)]),
    "starts_with": ({"close_if": _leaf("label", "starts_with", "77 ")}, [("metadata.label",)]),
    "all: the strongest of its parts": (
        {"close_if": {"all": [_leaf("half", "eq", 1), _leaf("speed", "lt", 6), _leaf("note", "missing")]}},
        [("metadata.speed",)],
    ),
    "any: one index a part": (
        {"close_if": {"any": [_leaf("speed", "lt", 6), _leaf("document_valid", "eq", True)]}},
        [("metadata.speed",), ("metadata.document_valid",)],
    ),
    "any: a part that the project's own index serves": (
        {
            "close_if": {
                "any": [_leaf("speed", "lt", 6), {"field": "timestamp", "op": "older_than_mins", "value": 5995}]
            }
        },
        [("metadata.speed",)],
    ),
    "any inside all": (
        {
            "close_if": {
                "all": [
                    {"any": [_leaf("speed", "lt", 6), _leaf("expiry_date", "newer_than_mins", 5)]},
                    _leaf("half", "ne", 7),
                ]
            }
        },
        [("metadata.speed",), ("metadata.expiry_date",)],
    ),
    "severities": ({"expire_after_mins": 1, "severities": ["INFO"]}, [("severity",)]),
    "hold_mins": ({"expire_after_mins": 1, "hold_mins": ALERTS - 5}, [("updated_at",)]),
    "statuses": ({"auto_close_if": "document_valid", "statuses": ["OPEN"]}, [("metadata.document_valid",)]),
}


@pytest.mark.parametrize(("conditions", "tested"), HELPED.values(), ids=HELPED.keys())
def test_the_advised_index_makes_the_advice_go_away(
    db: AlertDatabase, conditions: dict[str, Any], tested: list[tuple[str, ...]]
) -> None:
    [advice] = _advise(db, conditions)
    assert (advice.rule_id, advice.examined) == ("r", ALERTS)
    assert advice.condition in conditions
    assert 0 < (advice.returned or 0) < 20
    assert [index.paths for index in advice.indexes] == [(*PENDING_OF_SOURCE, *paths, "timestamp") for paths in tested]
    for index in advice.indexes:
        assert index.command() in advice.description
    assert sorted(create_advised(db, [advice])) == sorted(index.name for index in advice.indexes)
    assert advise(db, AS_OF) == []


def test_two_paths_are_indexed_where_one_does_not_narrow_enough(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.index_advice.choice.MIN_EXAMINED", 200)
    conditions = {"close_if": {"all": [_leaf("row", "eq", 3), _leaf("column", "eq", 4)]}, "max_close": 5}
    [advice] = _advise(db, conditions)
    # 15 alerts are due; 300 of one row alone would be too many.
    assert advice.returned == 15
    assert [index.paths for index in advice.indexes] == [
        (*PENDING_OF_SOURCE, "metadata.row", "metadata.column", "timestamp")
    ]
    create_advised(db, [advice])
    assert advise(db, AS_OF) == []


@pytest.mark.parametrize("group_by", ["metadata.depot_id", ["metadata.depot_id", "metadata.zone"]])
def test_keep_latest_by_another_key_wants_an_index_of_all_and_one_of_the_pending(
    db: AlertDatabase, group_by: str | list[str]
) -> None:
    key = [group_by] if isinstance(group_by, str) else group_by
    [advice] = _advise(db, {"keep_latest": True, "group_by": group_by})
    assert [index.paths for index in advice.indexes] == [("source_type", *key, "timestamp")] * 2
    assert [index.pending_only for index in advice.indexes] == [False, True]
    create_advised(db, [advice])
    assert advise(db, AS_OF) == []


def test_keep_latest_too_slow_to_be_explained_is_advised_all_the_same(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.index_advice.advice.MAX_MEASURE_SECONDS", 0.02)
    [advice] = _advise(db, {"keep_latest": True, "group_by": "metadata.depot_id"})
    assert (advice.examined, advice.returned) == (None, None)
    assert "not done within" in advice.description
    assert len(advice.indexes) == 2


def test_an_index_that_is_there_under_another_name_is_not_advised_again(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.index_advice.advice.MAX_MEASURE_SECONDS", 0.001)
    [advice] = _advise(db, {"keep_latest": True, "group_by": "metadata.driver_id"})
    # by_driver is the index of all; what is left is the one of the pending.
    assert [index.pending_only for index in advice.indexes] == [True]


SERVED: dict[str, dict[str, Any]] = {
    "expire_after_mins": {"expire_after_mins": ALERTS - 5},
    "keep_latest": {"keep_latest": True},
    "escalate_after_mins": {"escalate_after_mins": ALERTS - 5},
    "close_if_no_repeat_mins": {"close_if_no_repeat_mins": 3000},
    "escalate_if_count": {"escalate_if_count": 100_000},
    "most are due": {"close_if": _leaf("half", "eq", 1)},
}


@pytest.mark.parametrize("conditions", SERVED.values(), ids=SERVED.keys())
def test_a_condition_that_reads_what_it_needs_is_not_named(db: AlertDatabase, conditions: dict[str, Any]) -> None:
    assert _advise(db, conditions) == []


BY_KEY: list[dict[str, Any]] = [
    {"close_if_no_repeat_mins": 3000},
    {"keep_first": True},
    {"escalate_if_count": 100_000},
    {"escalate_if_count": 100_000, "count_if": _leaf("speed", "gt", 5)},
    {"escalate_if_count": 100_000, "count_statuses": ["OPEN", "RESOLVED"]},
    {"escalate_if_count": 100_000, "count_distinct": "metadata.zone"},
]
BY_OTHERS: list[dict[str, Any]] = [
    {"close_if_other": {"source_type": "OTHER"}},
    {"expire_after_mins": 1, "suppress_if_other": {"source_type": "OTHER"}},
]


@pytest.mark.parametrize("conditions", [*BY_KEY, *BY_OTHERS], ids=str)
def test_evidence_by_another_key_wants_the_index_that_spares_looking_at_all_of_it_again(
    db: AlertDatabase, conditions: dict[str, Any]
) -> None:
    [advice] = _advise(db, conditions | {"group_by": "metadata.depot_id"})
    assert advice.indexes == (AdvisedIndex(("source_type", "metadata.depot_id", "timestamp"), pending_only=False),)
    create_advised(db, [advice])
    assert advise(db, AS_OF) == []


def test_held_evidence_wants_the_index_that_finds_what_is_held_no_longer(db: AlertDatabase) -> None:
    [advice] = _advise(db, {"close_if_no_repeat_mins": 3000, "hold_mins": 5})
    assert advice.indexes == (AdvisedIndex(("source_type", "updated_at"), pending_only=True),)
    create_advised(db, [advice])
    assert advise(db, AS_OF) == []


def test_evidence_that_a_date_admits_wants_the_index_that_finds_what_has_become_admissible(db: AlertDatabase) -> None:
    admitted = _leaf("expiry_date", "older_than_mins", 5)
    [advice] = _advise(db, {"close_if_no_repeat_mins": 3000, "only_if": admitted})
    assert advice.indexes == (AdvisedIndex(("source_type", "metadata.expiry_date"), pending_only=True),)
    create_advised(db, [advice])
    assert advise(db, AS_OF) == []


def test_each_condition_that_decides_or_reads_other_alerts_has_its_advice_tested() -> None:
    tested = [*(conditions for conditions, _ in HELPED.values()), *SERVED.values(), *BY_KEY, *BY_OTHERS]
    wanted = {*CLOSE_CONDITIONS, *ESCALATE_CONDITIONS, "only_if", "hold_mins", "suppress_if_other", "count_if"}
    assert wanted <= {name for conditions in tested for name in conditions}


HOPELESS = {
    "ne": _leaf("document_valid", "ne", False),
    "not_in": _leaf("half", "not_in", [0, 1]),
    "missing": _leaf("speed", "missing"),
    "not": {"not": _leaf("half", "in", [0, 1])},
    "exists of what all have": {"all": [_leaf("half", "exists"), _leaf("half", "not_in", [0, 1])]},
    "contains": _leaf("label", "contains", "5999"),
    "ends_with": _leaf("label", "ends_with", "x"),
    "ignore_case": _leaf("label", "starts_with", "5999 ") | {"ignore_case": True},
    "value_of": _leaf("speed", "gt") | {"value_of": "metadata.half", "plus": ALERTS - 2},
    "any with an exists": {"any": [_leaf("speed", "lt", 6), _leaf("note", "exists")]},
    "any with one such part": {"any": [_leaf("speed", "lt", 6), _leaf("half", "not_in", [0, 1])]},
}


@pytest.mark.parametrize("tree", HOPELESS.values(), ids=HOPELESS.keys())
def test_where_no_index_can_help_none_is_advised(db: AlertDatabase, tree: dict[str, Any]) -> None:
    [advice] = _advise(db, {"close_if": tree})
    assert advice.indexes == ()
    assert "no index can help" in advice.description
    assert create_advised(db, [advice]) == []


def test_evidence_without_a_key_is_named_and_no_index_advised(db: AlertDatabase) -> None:
    [advice] = _advise(db, {"escalate_if_count": 2}, source_type="KEYLESS")
    assert (advice.examined, advice.returned, advice.indexes) == (ALERTS, 0, ())
    assert "has no metadata.driver_id" in advice.description


def test_a_shadow_rule_is_advised_and_a_resting_one_is_not(db: AlertDatabase) -> None:
    assert len(_advise(db, {"auto_close_if": "document_valid"}, mode="shadow")) == 1
    assert _advise(db, {"auto_close_if": "document_valid"}, mode="off") == []


def test_advising_creates_nothing(db: AlertDatabase) -> None:
    before = {index["name"] for index in db.alerts.list_indexes()}
    assert _advise(db, {"auto_close_if": "document_valid"})
    assert {index["name"] for index in db.alerts.list_indexes()} == before


def test_two_rules_that_want_one_index_get_one(db: AlertDatabase) -> None:
    db.rules.insert_many([rule(name, {"auto_close_if": "document_valid"}) for name in ("a", "b")])
    advice = advise(db, AS_OF)
    assert [one.rule_id for one in advice] == ["a", "b"]
    assert len(create_advised(db, advice)) == 1
    assert create_advised(db, advice) == []


def test_an_index_that_the_documents_forbid_is_a_named_error(
    db: AlertDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alert_pipelines.index_advice.choice.MIN_EXAMINED", 2)
    docs = [
        alert(
            source_type="TAGGED",
            metadata={"tags": ["few" if n < 30 else n, "y"], "codes": ["few" if 20 < n < 50 else n, "y"]},
            timestamp=AS_OF - timedelta(minutes=n),
        )
        for n in range(60)
    ]
    db.alerts.insert_many(docs)
    monkeypatch.setattr("alert_pipelines.index_advice.choice.MAX_RATIO", 1)
    [advice] = _advise(db, {"close_if": ARRAY_AND_ARRAY}, source_type="TAGGED")
    assert len(advice.indexes[0].paths) == 5
    with pytest.raises(IndexConflictError, match="parallel arrays"):
        create_advised(db, [advice])


def _rule(conditions: dict[str, Any], **fields: Any) -> Rule:
    return Rule.model_validate(rule("r", conditions, **fields))


def test_a_missing_index_was_named_only_once_the_rule_was_slow(db: AlertDatabase) -> None:
    depot = _rule({"keep_latest": True, "group_by": ["metadata.depot_id", "metadata.zone"]})
    [lacking] = lacking_indexes(db, [depot])
    assert lacking.startswith("rule 'r': for want of an index each scan looks at all alerts by keep_latest: ")
    assert 'createIndex({"source_type": 1, "metadata.depot_id": 1, "metadata.zone": 1, "timestamp": 1}' in lacking
    db.alerts.create_index([("source_type", 1), ("metadata.depot_id", 1), ("metadata.zone", 1), ("timestamp", 1)])
    assert lacking_indexes(db, [depot]) == []


def test_by_what_a_suppressed_alert_goes_with_another_was_never_said_to_lack_an_index(db: AlertDatabase) -> None:
    goes_with = {"source_type": "OFFLINE", "match": {"metadata.vehicle_id": "metadata.depot_id"}}
    suppressed = _rule({"expire_after_mins": 5, "suppress_if_other": goes_with})
    [lacking] = lacking_indexes(db, [suppressed])
    assert 'createIndex({"source_type": 1, "metadata.depot_id": 1, "timestamp": 1}' in lacking
    db.alerts.create_index([("source_type", 1), ("metadata.depot_id", 1), ("timestamp", 1)])
    assert lacking_indexes(db, [suppressed]) == []


def test_an_index_of_pending_alerts_was_taken_for_one_that_finds_the_alerts_of_a_key(db: AlertDatabase) -> None:
    depot = _rule({"keep_latest": True, "group_by": "metadata.depot_id"})
    keys = [("source_type", 1), ("metadata.depot_id", 1), ("timestamp", 1)]
    db.alerts.create_index(keys, name="part", partialFilterExpression={"status": "OPEN"})
    [lacking] = lacking_indexes(db, [depot])
    assert 'createIndex({"source_type": 1, "metadata.depot_id": 1, "timestamp": 1}' in lacking


def test_a_hidden_index_was_taken_for_one_that_a_scan_can_use(db: AlertDatabase) -> None:
    depot = _rule({"keep_latest": True, "group_by": "metadata.depot_id"})
    db.alerts.create_index([("source_type", 1), ("metadata.depot_id", 1)], hidden=True)
    [lacking] = lacking_indexes(db, [depot])
    assert 'createIndex({"source_type": 1, "metadata.depot_id": 1, "timestamp": 1}' in lacking


def test_of_an_advised_index_that_is_hidden_it_was_said_that_the_server_does_not_choose_it(db: AlertDatabase) -> None:
    conditions = {"keep_latest": True, "group_by": "metadata.depot_id"}
    for index in [index for advice in _advise(db, conditions) for index in advice.indexes]:
        create_advised(db, [Advice("r", "keep_latest", None, None, (index,), "")])
        db.command("collMod", "alerts", index={"name": index.name, "hidden": True})
    [advice] = advise(db, AS_OF)
    [lacking] = lacking_indexes(db, [_rule(conditions)])
    for words in (advice.description, lacking):
        assert 'db.alerts.unhideIndex("advised_source_type_metadata.depot_id_timestamp")' in words
        assert "create" not in words
    assert advice.indexes == ()


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        ({"keep_latest": True}, {}),
        ({"expire_after_mins": 5}, {}),
        ({"keep_latest": True, "group_by": "metadata.depot_id"}, {"mode": "off", "is_active": False}),
    ],
)
def test_no_missing_index_is_named_where_none_is(
    db: AlertDatabase, conditions: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert lacking_indexes(db, [_rule(conditions, **fields)]) == []
