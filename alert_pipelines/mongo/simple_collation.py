"""A database whose statements compare texts byte by byte, whatever the collation of a collection.

In a case-insensitive collection, `open` is OPEN, and two ids or two drivers may be one. A statement without a collation
uses its collection's, so every statement here has one.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import _ServerMode

SIMPLE = {"locale": "simple"}
"""The collation by which texts are compared byte by byte."""

_COMPARING = (
    *("find", "aggregate", "count_documents", "distinct"),
    *("update_one", "update_many", "replace_one", "delete_one", "delete_many"),
    *("find_one_and_update", "find_one_and_replace", "find_one_and_delete"),
)


class SimpleCollection(Collection[Any]):
    """A collection whose queries, aggregations, counts, updates and deletions use the simple collation."""

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: _ServerMode | None = None,
        write_concern: WriteConcern | None = None,
        read_concern: ReadConcern | None = None,
    ) -> "SimpleCollection":
        """Return the same collection with other options."""
        return SimpleCollection(
            self.database,
            self.name,
            codec_options=codec_options or self.codec_options,
            read_preference=read_preference or self.read_preference,
            write_concern=write_concern or self.write_concern,
            read_concern=read_concern or self.read_concern,
        )


class SimpleDatabase(Database[Any]):
    """A database of SimpleCollections."""

    def __getitem__(self, name: str) -> SimpleCollection:
        """Return the collection of this name."""
        return SimpleCollection(self, name)


def _by_simple_collation(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def by_simple_collation(self: SimpleCollection, *args: Any, **kwargs: Any) -> Any:
        return method(self, *args, **{"collation": SIMPLE, **kwargs})

    return by_simple_collation


for _name in _COMPARING:
    setattr(SimpleCollection, _name, _by_simple_collation(getattr(Collection, _name)))
