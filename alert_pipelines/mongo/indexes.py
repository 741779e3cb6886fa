"""Making indexes: idempotent, by name, and never a second one over the same keys.

The modules that own a collection declare its indexes; this module holds only the mechanism.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo.client import AlertDatabase, lacking_right
from alert_pipelines.mongo.reasons import reason_of

MAX_BUILD_SECONDS = 1_800
_MEANINGFUL = ("key", "unique", "sparse", "partialFilterExpression")


class IndexConflictError(AlertPipelinesError):
    """An index that the project needs cannot be made as it has to be."""


class DuplicateKeyValuesError(IndexConflictError):
    """Documents that are there already break an index that is to be unique."""


def create_missing_indexes(db: AlertDatabase, collection: str, indexes: Sequence[IndexModel]) -> list[str]:
    """Create those of `indexes` that `collection` lacks; return the names of the ones created.

    An index over the same keys with the same meaning but another name (the service may have made it) counts
    as present. Raises IndexConflictError where a name is taken by something else; DuplicateKeyValuesError where
    documents break a unique index, when all others are made; MongoAuthenticationError where the user may make none.
    """
    present = {spec["name"]: _meaning(spec) for spec in db[collection].list_indexes()}
    missing = []
    for index in indexes:
        name, wanted = index.document["name"], _meaning(index.document)
        if name in present and present[name] != wanted:
            raise IndexConflictError(
                f"index {name!r} of {collection!r} exists with another definition ({present[name]}, needed: "
                f"{wanted}). Drop it (db.{collection}.dropIndex({name!r})) and run again: it is made anew."
            )
        if wanted not in present.values():
            missing.append(index)
    # Those that may meet duplicates one by one: a build that fails fails all that the same command asked for.
    plain = [index for index in missing if not index.document.get("unique")]
    broken: DuplicateKeyValuesError | None = None
    for together in ([plain] if plain else []) + [[index] for index in missing if index not in plain]:
        try:
            _create(db, collection, together)
        except DuplicateKeyValuesError as error:
            broken = broken or error
    if broken:
        raise broken
    return [index.document["name"] for index in missing]


def _create(db: AlertDatabase, collection: str, missing: list[IndexModel]) -> None:
    try:
        # Over a large collection this takes longer than anything else may.
        with pymongo.timeout(MAX_BUILD_SECONDS):
            db[collection].create_indexes(missing)
    except DuplicateKeyError as error:
        (name,) = [index.document["name"] for index in missing]
        shared = ", ".join(f"{path} {value!r}" for path, value in (error.details or {}).get("keyValue", {}).items())
        raise DuplicateKeyValuesError(
            f"collection {collection!r} holds more than one document with {shared} (None: it may be missing), so the "
            f"unique index {name!r} cannot be made. Give each a value of its own, or remove those that are not wanted."
        ) from error
    except OperationFailure as error:
        if refusal := lacking_right(error, db.name):
            raise refusal from error
        names = ", ".join(index.document["name"] for index in missing)
        raise IndexConflictError(f"cannot create the indexes {names} on {collection!r}: {reason_of(error)}") from error


def _meaning(spec: Mapping[str, Any]) -> dict[str, Any]:
    meaning = {part: spec[part] for part in _MEANINGFUL if spec.get(part)}
    # Key order matters in an index and the server may answer 1.0 for 1.
    meaning["key"] = [(path, int(kind) if isinstance(kind, float) else kind) for path, kind in spec["key"].items()]
    if "partialFilterExpression" in meaning:
        meaning["partialFilterExpression"] = dict(meaning["partialFilterExpression"])
    return meaning
