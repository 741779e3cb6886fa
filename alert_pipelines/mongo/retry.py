"""Retries when the database is briefly unreachable: a primary steps down, a connection is lost."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pymongo.errors import ConnectionFailure, WTimeoutError

_log = logging.getLogger(__name__)

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between two attempts; an election takes up to about 12 s."""

TRANSIENT = (ConnectionFailure, WTimeoutError)

Result = TypeVar("Result")


def retry_transient(action: Callable[[], Result], before_retry: Callable[[], None]) -> Result:
    """Call `action`; repeat it after each transient error, at most six times, then raise the error.

    Use it only for actions that may run twice. `before_retry` is called before each repetition and may raise to give
    up.
    """
    for pause in PAUSES:
        try:
            return action()
        except TRANSIENT as fault:
            _log.warning("MongoDB is unreachable (%s); retrying in %s s", fault, pause)
            time.sleep(pause)
            before_retry()
    return action()
