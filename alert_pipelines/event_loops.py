"""Blocking functions, kept out of event loops: one that is awaited would first do its work and then fail."""

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from alert_pipelines.errors import EventLoopError

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def outside_event_loops(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Have `function` raise EventLoopError, before it does anything, where an event loop runs in this thread."""

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        if _in_event_loop():
            name = function.__name__
            raise EventLoopError(
                f"{name} blocks, and an event loop runs in this thread. Nothing was done. Await its counterpart:\n"
                f"    from alert_pipelines import aio\n"
                f"    await aio.{name}(...)"
            )
        return function(*args, **kwargs)

    return called


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
