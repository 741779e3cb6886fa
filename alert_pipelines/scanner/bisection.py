"""Writing many documents at once although the server may refuse one: what all writers of alerts share."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bson import ObjectId
from pymongo.errors import DocumentTooLarge, OperationFailure, WriteConcernError

# Unauthorized, AuthenticationFailed and OutOfDiskSpace: no smaller batch will fare better.
_FATAL_CODES = frozenset({13, 18, 14031})


def in_stored_order(ids: Iterable[Any]) -> list[Any]:
    """`ids` about as their alerts lie on the disk: MongoDB stores them as they come, and ObjectIds count upwards.

    In any other order each batch is scattered over the collection, and where the alerts do not fit the server's cache
    it reads and writes every page again for each of them: of 50,000 among 1,000,000, a scan took half as long again.
    """
    return sorted(ids, key=lambda _id: _id.binary if isinstance(_id, ObjectId) else b"")


def write_with_bisection(
    ids: Sequence[Any],
    write: Callable[[Sequence[Any]], int],
    refused: Callable[[Any, Exception], None],
) -> int:
    """Call `write` for all `ids`, or, where the server refuses, for halves until the one it refuses is alone.

    Returns the sum of what `write` returns; `refused` is told of each `_id` that the server refuses, or that fills a
    command by itself. A fault that is not for a document's sake is raised.
    """
    try:
        return write(ids)
    except WriteConcernError:
        # All is written; too few members say so.
        raise
    except (OperationFailure, DocumentTooLarge) as failure:
        if isinstance(failure, OperationFailure) and failure.code in _FATAL_CODES:
            raise
        if len(ids) == 1:
            refused(ids[0], failure)
            return 0
    half = len(ids) // 2
    return write_with_bisection(ids[:half], write, refused) + write_with_bisection(ids[half:], write, refused)
