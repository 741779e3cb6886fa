"""Limits the write rate of a scan, in alerts per second."""

import threading
import time
from collections.abc import Callable

_LONGEST_SLEEP_S = 0.5
_BATCHES_A_SECOND = 20


class RateLimiter:
    """Lets writers of any thread go on no faster than `per_s` alerts a second; None means no bound."""

    def __init__(self, per_s: int | None) -> None:
        self._per_s = per_s
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def batch(self, largest: int) -> int:
        """How many alerts to write at once, at most `largest`: many small steps disturb others less."""
        return largest if self._per_s is None else max(1, min(largest, self._per_s // _BATCHES_A_SECOND))

    def wait(self, alerts: int, check: Callable[[], None]) -> None:
        """Return when this number of `alerts` may be written; `check` is called meanwhile and may raise to give up."""
        if self._per_s is None:
            return
        with self._lock:
            starts_at = max(self._free_at, time.monotonic())
            self._free_at = starts_at + alerts / self._per_s
        while (left := starts_at - time.monotonic()) > 0:
            check()
            time.sleep(min(left, _LONGEST_SLEEP_S))
