"""Making indexes: idempotent, by name, and never a second one over the same keys.

The modules that own a collection declare its indexes; this module holds only the mechanism.
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
    """Create those of `indexes` that `collection` lacks; return the names of the ones created.

    `present` is what `present_indexes` says of it, where the caller has asked that already.
    An index over the same keys with the same meaning but another name (the service may have made it) counts
    as present. One that cannot be made keeps no other from being made. Raises IndexConflictError afterwards if a name
    is taken by something else or the documents do not allow an index, as DuplicateKeyValuesError if they break a
    unique one; MongoAuthenticationError where the user may make none; UnusableDatabaseError for a view or a time-series
    collection, which holds no documents that could be written.
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
    """The indexes of `collection`. Raises UnusableDatabaseError for a view or a time-series collection."""
    try:
        present: list[Mapping[str, Any]] = list(db[collection].list_indexes())
    except OperationFailure as error:
        if error.code != _ON_A_VIEW:
            raise
        present = []
    # Only what is there and no ordinary collection lacks it.
    if not any(spec["name"] == "_id_" for spec in present):
        refuse_other_kinds(db, collection)
    return present


def _create_all(db: AlertDatabase, collection: str, together: list[IndexModel]) -> list[IndexConflictError]:
    """Create indexes by one command, which reads the documents once; return why some could not be made."""
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
        # Over a large collection this takes longer than anything else may.
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
    """`index` as every statement can use it: one that names no collation takes over its collection's."""
    options = {name: value for name, value in index.document.items() if name != "key"}
    return IndexModel(list(index.document["key"].items()), **options, collation=SIMPLE)


def _parallel_arrays(db: AlertDatabase, collection: str, indexes: Iterable[IndexModel]) -> str:
    """Name a document that holds arrays at two paths of one of `indexes`, if one is found soon."""
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
