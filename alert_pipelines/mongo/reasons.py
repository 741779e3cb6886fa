"""What the server or the driver says went wrong, in a sentence: never a raw document of the server."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import BulkWriteError

MAX_REASON = 1_000
_WHERE = re.compile(r"Plan ?executor error during \w+( command)? :: caused by :: ", re.IGNORECASE)


def reason_of(error: Exception) -> str:
    """The reason alone. The driver appends its picture of the servers, or the server's whole answer with its cluster
    time and signatures, and the server puts before it where in its own code it was: that is of no use to a reader, and
    does not belong into a record."""
    text = _of_first_write(error) if isinstance(error, BulkWriteError) else str(error)
    reason = _WHERE.sub("", text.split(", Timeout:")[0].split(", full error:")[0], count=1)
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…"


def _of_first_write(error: BulkWriteError) -> str:
    details: Mapping[str, Any] = error.details or {}
    failed: Sequence[Mapping[str, Any]] = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
    return str(failed[0].get("errmsg")) if failed else str(error)
