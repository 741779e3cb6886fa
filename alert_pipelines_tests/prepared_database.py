"""The database of most tests, one after the other: to make and drop one takes longer than most of them."""

from typing import Any

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.key_indexes import KeyIndexes

# So many alerts take longer to delete than a database to make.
_MANY = 5_000

Catalog = dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]]


class PreparedDatabase:
    """Made once with the project's collections and indexes, and emptied for each test that finds it so.

    Where a test has left another collection, index or option, an index that has held arrays as keys of alerts, or many
    alerts, the whole database is made again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._made: Catalog | None = None

    def make_as_new(self, db: AlertDatabase) -> None:
        """Leave `db`, which has that name, as if it had been made just now."""
        few = db.alerts.estimated_document_count() < _MANY
        if few and self._made is not None and catalog(db) == self._made and not holds_arrays(db):
            for name in self._made:
                # A plan that was chosen for another test's alerts would be one that this test's do not lead to.
                if db[name].delete_many({}).deleted_count:
                    db.command("planCacheClear", name)
            return
        from alert_pipelines.scanner.prepare import prepare_collections  # noqa: PLC0415 - tests of mongo need no scan

        db.client.drop_database(db.name)
        prepare_collections(db)
        self._made = catalog(db)


def catalog(db: AlertDatabase) -> Catalog:
    """The collections of `db`, each with its type, options and indexes."""
    made: Catalog = {}
    for one in db.list_collections():
        # A view has none, and the server refuses to say so.
        found = [] if one["type"] == "view" else [dict(index) for index in db[one["name"]].list_indexes()]
        indexes = sorted(found, key=lambda index: index["name"])
        made[one["name"]] = (one["type"], one["options"], indexes)
    return made


def holds_arrays(db: AlertDatabase) -> bool:
    """Whether an alert had an array as its key since the indexes were made; then scans read otherwise."""
    indexes = KeyIndexes(db.alerts)
    found = [list(spec["key"])[1] for spec in indexes.specs if len(spec["key"]) > 1]
    return any(indexes.find_path(path) and indexes.holds_arrays(path) for path in found)
