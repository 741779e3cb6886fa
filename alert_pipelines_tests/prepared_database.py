"""The database of most tests, one after the other: to make and drop one takes longer than most of them."""

from typing import Any

from alert_pipelines.mongo import AlertDatabase

# So many alerts take longer to delete than their collection to make.
_MANY = 5_000

# As $listCatalog has it, without what differs between two collections that were made alike.
_CATALOG: list[dict[str, Any]] = [
    {"$unset": ["md.ns", "md.options.uuid", "idxIdent", "ident"]},
    {"$sort": {"name": 1}},
]


class PreparedDatabase:
    """Made once with the project's collections and indexes, and emptied for each test that finds it so.

    A collection that a test has left with another index or option, with an index that has held arrays, or with many
    alerts is made again, and one that is not the project's is dropped.
    """

    def __init__(self, db: AlertDatabase) -> None:
        self._db = db
        db.client.drop_database(db.name)
        self._prepare()
        self._made = catalog(db)

    def made_as_new(self) -> AlertDatabase:
        """The database as if it had been made just now."""
        left = catalog(self._db)
        kept = {name for name, one in left.items() if one == self._made.get(name)}
        if self._db.alerts.estimated_document_count() >= _MANY:
            kept.discard("alerts")
        for name in kept:
            # A plan that was chosen for another test's alerts would be one that this test's do not lead to.
            if self._db[name].delete_many({}).deleted_count:
                self._db.command("planCacheClear", name)
        # The view's own collection after the view.
        for name in sorted(left.keys() - kept):
            self._db.drop_collection(name)
        if self._made.keys() - kept:
            self._prepare()
        return self._db

    def _prepare(self) -> None:
        from alert_pipelines.scanner.prepare import prepare_collections  # noqa: PLC0415 - tests of mongo need no scan

        prepare_collections(self._db)
        # The index of arrays is as the first decision leaves it: else each test that closes an alert would change it.
        self._db.alerts.insert_one({"state_history": [{"job_id": ""}]})
        self._db.alerts.delete_many({})


def catalog(db: AlertDatabase) -> dict[str, dict[str, Any]]:
    """The collections and views of `db`, each with its options, its indexes and which of them have held arrays."""
    found = db.client.admin.aggregate([{"$listCatalog": {}}, {"$match": {"db": db.name}}, *_CATALOG])
    return {one["name"]: one for one in found}
