"""A pytest of a test's own, with this suite's settings and hooks, on a file that the test has written."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.memory import env_of_another_run
from alert_pipelines_tests.patience import LIMIT_S


def run_tests(
    directory: Path,
    tests: str,
    *options: str,
    env: Mapping[str, str] | None = None,
    by: Sequence[str] = (),
    measured: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run `tests`, the text of a module, in `directory`; `by` is a command that runs the command that follows it.

    Where they are `measured`, coverage writes its data beside them.
    """
    file = directory / "test_inner.py"
    file.write_text(tests)
    settings = ["-c", "pyproject.toml", "-p", "alert_pipelines_tests.conftest", "-p", "no:cacheprovider"]
    coverage = ["-m", "coverage", "run"] if measured else []
    return subprocess.run(
        [*by, sys.executable, *coverage, "-m", "pytest", *settings, *options, file],
        cwd=CHECKOUT,
        env={**env_of_another_run(), "COVERAGE_FILE": str(directory / "coverage"), **(env or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
