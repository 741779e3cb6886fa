"""SIGINT reaches what tests start, also where the suite runs in the background of a script."""

from pathlib import Path

import pytest

from alert_pipelines_tests.inner_pytest import run_tests

TESTS = """
import signal
import subprocess

def test_interrupted():
    process = subprocess.Popen(["sleep", "600"])
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == -signal.SIGINT
"""

# As a shell without job control starts what ends in "&"; the command's own children inherit it.
IN_THE_BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$0" "$@"')


@pytest.mark.process
@pytest.mark.parametrize("workers", ["0", "1"])
def test_commands_could_not_be_interrupted_where_the_suite_ran_in_the_background(tmp_path: Path, workers: str) -> None:
    done = run_tests(tmp_path, TESTS, "--numprocesses", workers, by=IN_THE_BACKGROUND)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
