"""A pytest of a test's own, with this suite's settings and hooks, on a file that the test has written."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.memory import env_of_another_run


def run_tests(
    directory: Path, tests: str, *options: str, env: Mapping[str, str] | None = None, by: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `tests`, the text of a module, in `directory`; `by` is a command that runs the command that follows it."""
    file = directory / "test_inner.py"
    file.write_text(tests)
    settings = ["-c", "pyproject.toml", "-p", "alert_pipelines_tests.conftest", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*by, sys.executable, "-m", "pytest", *settings, *options, file],
        cwd=CHECKOUT,
        env={**env_of_another_run(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
