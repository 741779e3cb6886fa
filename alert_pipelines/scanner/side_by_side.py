"""Queries of one plan side by side: a server answers each query on one of its cores.

A session is for one thread, so each query has its own, which sees at least what the session of the plan has seen.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from pymongo.client_session import ClientSession

AT_ONCE = 2
"""As many as a scan has writers: more would leave other clients of a server of two cores too little."""

Answer = TypeVar("Answer")


def side_by_side(questions: Iterable[Callable[[], Answer]]) -> Iterator[Answer]:
    """The answers of `questions` in their order; AT_ONCE are asked at a time, each from another thread.

    Raises what a question raises. Those not yet asked are not asked then; those under way are not waited for, so they
    must change nothing.
    """
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="plan")
    try:
        asked = deque(pool.submit(question) for question in questions)
        while asked:
            yield asked.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def meanwhile(question: Callable[[], Answer]) -> Iterator[Callable[[], Answer]]:
    """Ask `question` from another thread; what it yields waits for the answer, or raises what the question raised.

    It must change nothing: where the block is left by an exception, it is not waited for.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="plan")
    try:
        yield pool.submit(question).result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def as_late_as(session: ClientSession | None) -> Iterator[ClientSession | None]:
    """Another session, whose reads see at least what `session` has seen; None of None."""
    if session is None:
        yield None
        return
    with session.client.start_session(causal_consistency=True) as other:
        # A standalone has neither.
        if session.cluster_time is not None:
            other.advance_cluster_time(session.cluster_time)
        if session.operation_time is not None:
            other.advance_operation_time(session.operation_time)
        yield other
