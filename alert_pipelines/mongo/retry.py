"""Retries for a database that is unreachable for a moment: a primary steps down, a connection is lost."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pymongo.errors import ConnectionFailure, WTimeoutError

_log = logging.getLogger(__name__)

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between two tries; an election takes up to some 12 s."""

TRANSIENT = (ConnectionFailure, WTimeoutError)

Result = TypeVar("Result")


def retry_transient(action: Callable[[], Result], before_retry: Callable[[], None]) -> Result:
    """Call `action`, again after each transient fault, at most seven times; the last fault is raised.

    Only for what may be done twice. `before_retry` is called ahead of each further try and may raise to give up.
    """
    for pause in PAUSES:
        try:
            return action()
        except TRANSIENT as fault:
            _log.warning("MongoDB is unreachable (%s); retrying in %s s", fault, pause)
            time.sleep(pause)
            before_retry()
    return action()
