"""What waits for what must come has one limit, and says what did not come."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from alert_pipelines_tests.patience import LIMIT_S, wait_until

# What a poll of something that answers at once may take; less than that is asked again.
_POLL_S = 10.0
_WAITS = {"wait", "join", "communicate"}
_KEYWORDS = {"timeout", "limit_s"}


def limits_of(source: str) -> Iterator[tuple[int, float]]:
    """Each line of `source` that waits for a number of seconds of its own, and the number."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            named = [keyword.value for keyword in call.keywords if keyword.arg in _KEYWORDS]
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            for value in [*named, *(call.args[:1] if method in _WAITS else ())]:
                if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
                    yield value.lineno, value.value


def test_a_run_that_waited_in_the_queue_of_a_busy_machine_failed_the_test_with_a_shorter_limit() -> None:
    tests = Path(__file__).parent
    shorter = [
        f"{path.relative_to(tests)}:{line}: {seconds} s"
        for path in sorted(tests.rglob("*.py"))
        for line, seconds in limits_of(path.read_text())
        if _POLL_S < seconds < LIMIT_S
    ]
    assert shorter == []
    assert list(limits_of("end.wait(60)\nrun(['x'], timeout=90)\nwait_until(f, 'x', limit_s=30)")) == [
        (1, 60),
        (2, 90),
        (3, 30),
    ]


def test_what_does_not_come_is_named() -> None:
    with pytest.raises(AssertionError, match=r"^the bus: not within 0 s"):
        wait_until(lambda: None, "the bus", limit_s=0.05, every_s=0.01)
    answers = iter([0, 0, 3])
    assert wait_until(lambda: next(answers), "three", every_s=0) == 3
