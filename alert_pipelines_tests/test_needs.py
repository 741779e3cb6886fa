"""The marker `needs`: a program that is not there is a skipped test to a person and a failed one to CI."""

from pathlib import Path

import pytest

from alert_pipelines_tests.inner_pytest import run_tests

TESTS = """
import pytest

@pytest.mark.needs("sh")
def test_there(): pass

@pytest.mark.needs("sh", "no-such-program")
def test_not_there(): pass
"""


@pytest.mark.process
@pytest.mark.parametrize(("ci", "outcome"), [("", "1 passed, 1 skipped"), ("true", "1 passed, 1 error")])
def test_programs_that_are_not_there_are_no_silent_skip_in_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    done = run_tests(tmp_path, TESTS, "-rs", env={"CI": ci})
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "no-such-program not found" in done.stdout
