"""The database that most tests share, one after the other: none sees what an earlier one left."""

from collections.abc import Callable

import pytest

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.prepared_database import PreparedDatabase, catalog


@pytest.mark.parametrize(
    "leave",
    [
        lambda db: db.alerts.insert_one({"alert_id": "left"}),
        lambda db: db.alerts.insert_one({"source_type": "SAFETY", "metadata": {"driver_id": ["D1", "D2"]}}),
        lambda db: db.alerts.insert_many({"alert_id": str(number)} for number in range(5_000)),
        lambda db: db.alerts.create_index("left"),
        lambda db: db.alerts.drop_index("alert_id_unique"),
        lambda db: db.left.insert_one({}),
        lambda db: db.drop_collection("background_jobs"),
        lambda db: db.command("collMod", "alerts", validator={"left": True}),
        lambda db: db.command("create", "left", viewOn="alerts", pipeline=[]),
        lambda db: db.client.drop_database(db.name),
    ],
    ids=[
        "a document",
        "an array as a key",
        "many",
        "an index",
        "an index less",
        "a collection",
        "one less",
        "a validator",
        "a view",
        "nothing",
    ],
)
def test_what_a_test_leaves_is_gone_for_the_next(
    bare_db: AlertDatabase, leave: Callable[[AlertDatabase], object]
) -> None:
    prepared = PreparedDatabase(bare_db)
    made = catalog(bare_db)
    assert "alert_id_unique" in {index["spec"]["name"] for index in made["alerts"]["md"]["indexes"]}
    leave(bare_db)
    prepared.made_as_new()
    assert catalog(bare_db) == made
    assert {name: bare_db[name].count_documents({}) for name in made} == dict.fromkeys(made, 0)
