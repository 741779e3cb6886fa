"""Reduces errors of the server or the driver to a sentence, without raw documents of the server."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import BulkWriteError

MAX_REASON = 1_000
_WHERE = re.compile(r"Plan ?executor error during \w+( command)? :: caused by :: ", re.IGNORECASE)


def reason_of(error: Exception) -> str:
    """Return the reason only.

    The driver appends the state of its servers, or the server's answer with cluster time and signatures. The server
    puts the place in its code in front. Neither helps a reader or belongs in a record.
    """
    text = _of_first_write(error) if isinstance(error, BulkWriteError) else str(error)
    reason = _WHERE.sub("", text.split(", Timeout:")[0].split(", full error:")[0], count=1)
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…"


def _of_first_write(error: BulkWriteError) -> str:
    details: Mapping[str, Any] = error.details or {}
    failed: Sequence[Mapping[str, Any]] = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
    return str(failed[0].get("errmsg")) if failed else str(error)
