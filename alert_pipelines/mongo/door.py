"""Converts a caller's database, from any client, into the form that all other code uses.

The alert service opens its database for its own use: naive dates, UUIDs as objects, unacknowledged writes, reads from
a secondary. These options must not change what a scan decides.
"""

import inspect
from collections.abc import Callable
from datetime import UTC
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ReadPreference, WriteConcern
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from alert_pipelines.errors import UnusableDatabaseError
from alert_pipelines.mongo.simple_collation import SimpleDatabase

KNOWN_CODEC = CodecOptions[dict[str, Any]](
    document_class=dict,
    tz_aware=True,
    tzinfo=UTC,
    # Binary stays binary: so what is sent back, as a key or an `_id`, is what is stored.
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    # A date beyond Python's years, or a text that is not UTF-8, in one document must not hide all others.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
_MAJORITY = "majority"

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def known_form(db: Database[Any]) -> Database[dict[str, Any]]:
    """Return `db` in the form that all other code uses, whatever the options of its client.

    Reads are from the primary with read concern majority. Writes wait for the majority, as long as the client's
    wtimeout allows. Documents are dicts, dates are aware, in UTC, and texts are compared byte by byte. Raises
    UnusableDatabaseError for everything that is not a pymongo Database, such as the database of an asynchronous client.
    """
    if not isinstance(db, Database):
        raise UnusableDatabaseError(_refusal(db))
    timeout = db.write_concern.document.get("wtimeout")
    write_concern = WriteConcern(_MAJORITY, wtimeout=timeout)
    if (
        isinstance(db, SimpleDatabase)
        and db.codec_options == KNOWN_CODEC
        and db.write_concern == write_concern
        and db.read_concern == ReadConcern(_MAJORITY)
        and db.read_preference == ReadPreference.PRIMARY
    ):
        return db
    return SimpleDatabase(
        db.client, db.name, KNOWN_CODEC, ReadPreference.PRIMARY, write_concern, ReadConcern(_MAJORITY)
    )


def at_the_door(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Make `function`, which takes a database as `db`, work with its known form. Raises what `known_form` raises."""
    signature = inspect.signature(function)

    @wraps(function)
    def entered(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        given = signature.bind(*args, **kwargs)
        # None where a function answers also without a database.
        if given.arguments["db"] is not None:
            given.arguments["db"] = known_form(given.arguments["db"])
        return function(*given.args, **given.kwargs)

    return entered


def refuse_other_kinds(db: Database[dict[str, Any]], collection: str) -> None:
    """Raise UnusableDatabaseError if `collection` is a view or a time-series collection."""
    # Unlike the full list, this one needs no right beyond those on the collection itself.
    asked: dict[str, Any] = {"nameOnly": True, "authorizedCollections": True, "filter": {"name": collection}}
    for found in db.command("listCollections", **asked)["cursor"]["firstBatch"]:
        if found["type"] != "collection":
            kind = {"timeseries": "time-series collection"}.get(found["type"], found["type"])
            raise UnusableDatabaseError(
                f"{db.name}.{collection} is a {kind}, whose documents cannot be updated: expected an ordinary "
                f"collection. Use the database that holds the documents themselves, or rename the {kind} and copy its "
                f"documents into a collection named {collection!r}."
            )


def _refusal(given: Any) -> str:
    kind = f"{type(given).__module__.partition('.')[0]}'s {type(given).__qualname__}"
    # Motor has an attribute for whatever name is asked of it, so only the type can tell.
    name = given.name if isinstance(getattr(given, "name", None), str) else "alert_management"
    return (
        f"{kind} is not a database that alert_pipelines can use: expected pymongo's Database, which is synchronous. "
        "Open one in addition:\n"
        "    from pymongo import MongoClient\n"
        f'    db = MongoClient("mongodb://...")["{name}"]'
    )
