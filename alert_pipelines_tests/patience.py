"""How a test waits for what must come.

The limit is there for what never comes. So it is one for all, and longer than anything takes on two busy cores: what
waits in a queue of Dagster's waits for the work of all other tests as well.
"""

import time
from collections.abc import Callable
from typing import TypeVar

LIMIT_S = 300.0

Found = TypeVar("Found")


def wait_until(
    look: Callable[[], Found | None], what: str, *, limit_s: float = LIMIT_S, every_s: float = 0.25
) -> Found:
    """What `look` finds, asked again until it finds something; fails the test, naming `what`, after the limit."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {limit_s:.0f} s"
        time.sleep(every_s)
    return found
