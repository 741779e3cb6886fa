"""Creates missing indexes by name, and never a second one over the same keys.

Modules that own a collection declare its indexes.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import pymongo
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from alert_pipelines.errors import DuplicateKeyValuesError, IndexConflictError
from alert_pipelines.mongo.client import AlertDatabase, as_permission_error
from alert_pipelines.mongo.door import refuse_other_kinds
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.mongo.simple_collation import SIMPLE

MAX_BUILD_SECONDS = 1_800
_PARALLEL_ARRAYS = 171
_ON_A_VIEW = 166
_FIND_MS = 5_000
_MEANINGFUL = ("key", "unique", "sparse", "partialFilterExpression", "collation")


def create_missing_indexes(
    db: AlertDatabase,
    collection: str,
    indexes: Sequence[IndexModel],
    present: Sequence[Mapping[str, Any]] | None = None,
) -> list[str]:
    """Create the `indexes` that `collection` lacks; return the names of those created.

    `present` is the result of `present_indexes`, if the caller has it. An index over the same keys with the same
    meaning and another name counts as present. If one cannot be created, the others still are. Then raises
    IndexConflictError if a name is taken or the documents do not allow an index, as DuplicateKeyValuesError if they
    break a unique one; MongoAuthenticationError if the user may create none; UnusableDatabaseError for a view or a
    time-series collection.
    """
    specs = present_indexes(db, collection) if present is None else present
    meanings = {spec["name"]: _meaning(spec) for spec in specs}
    missing: list[IndexModel] = []
    faults: list[IndexConflictError] = []
    for index in indexes:
        name, wanted = index.document["name"], _meaning(index.document)
        if name in meanings and meanings[name] != wanted:
            fault = (
                f"index {name!r} of {collection!r} exists with another definition ({meanings[name]}, needed: "
                f"{wanted}). Drop it (db.{collection}.dropIndex({name!r})) and run again: it is recreated."
            )
            faults.append(IndexConflictError(fault))
        elif wanted not in meanings.values():
            missing.append(index)
    plain = [index for index in missing if not index.document.get("unique")]
    faults += _create_all(db, collection, plain)
    for index in missing:
        if index not in plain:
            faults += _create_all(db, collection, [index])
    if len(faults) > 1:
        raise IndexConflictError(" ".join(map(str, faults)))
    if faults:
        raise faults[0]
    return [index.document["name"] for index in missing]


def present_indexes(db: AlertDatabase, collection: str) -> list[Mapping[str, Any]]:
    """Return the indexes of `collection`. Raises UnusableDatabaseError for a view or a time-series collection."""
    try:
        present: list[Mapping[str, Any]] = list(db[collection].list_indexes())
    except OperationFailure as error:
        if error.code != _ON_A_VIEW:
            raise
        present = []
    # Only views and the like lack this index.
    if not any(spec["name"] == "_id_" for spec in present):
        refuse_other_kinds(db, collection)
    return present


def _create_all(db: AlertDatabase, collection: str, together: list[IndexModel]) -> list[IndexConflictError]:
    """Create indexes with one command, which reads the documents once; return why some could not be created."""
    if not together:
        return []
    try:
        _create(db, collection, together)
    except IndexConflictError as fault:
        if len(together) == 1:
            return [fault]
        # A build that fails fails all that the same command asked for.
        return [fault for index in together for fault in _create_all(db, collection, [index])]
    return []


def _create(db: AlertDatabase, collection: str, missing: list[IndexModel]) -> None:
    try:
        # On a large collection this may take longer than any other operation.
        with pymongo.timeout(MAX_BUILD_SECONDS):
            db[collection].create_indexes([_by_bytes(index) for index in missing])
    except DuplicateKeyError as error:
        (name,) = [index.document["name"] for index in missing]
        shared = ", ".join(f"{path} {value!r}" for path, value in (error.details or {}).get("keyValue", {}).items())
        raise DuplicateKeyValuesError(
            f"collection {collection!r} has several documents with {shared} (None: it may be missing), so the "
            f"unique index {name!r} cannot be created. Give each a different value, or delete those you do not need."
        ) from error
    except OperationFailure as error:
        if refusal := as_permission_error(error, db.name):
            raise refusal from error
        names = ", ".join(index.document["name"] for index in missing)
        which = _parallel_arrays(db, collection, missing) if error.code == _PARALLEL_ARRAYS else ""
        raise IndexConflictError(
            f"cannot create the indexes {names} on {collection!r}: {reason_of(error)}{which}"
        ) from error


def _by_bytes(index: IndexModel) -> IndexModel:
    """Return `index` with the simple collation, so that all statements can use it; else it has its collection's."""
    options = {name: value for name, value in index.document.items() if name != "key"}
    return IndexModel(list(index.document["key"].items()), **options, collation=SIMPLE)


def _parallel_arrays(db: AlertDatabase, collection: str, indexes: Iterable[IndexModel]) -> str:
    """Return a document with arrays at two paths of one of `indexes`, if the server finds one quickly."""
    pairs = [pair for index in indexes for pair in combinations(index.document["key"], 2)]
    query = {"$or": [{path: {"$type": "array"} for path in pair} for pair in pairs]}
    try:
        found = db[collection].find_one(query, {"alert_id": 1}, max_time_ms=_FIND_MS)
    except OperationFailure:
        return ""
    return f", as in {found.get('alert_id', found['_id'])!r:.200}" if found else ""


def _meaning(spec: Mapping[str, Any]) -> dict[str, Any]:
    meaning = {part: spec[part] for part in _MEANINGFUL if spec.get(part)}
    # Key order matters in an index and the server may answer 1.0 for 1.
    meaning["key"] = [(path, int(kind) if isinstance(kind, float) else kind) for path, kind in spec["key"].items()]
    if "partialFilterExpression" in meaning:
        meaning["partialFilterExpression"] = dict(meaning["partialFilterExpression"])
    return meaning
