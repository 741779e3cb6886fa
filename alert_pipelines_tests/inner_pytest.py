"""A pytest of a test's own, with this suite's settings and hooks, on a file that the test has written."""

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.memory import RUN_VARIABLE


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
        env={**os.environ, RUN_VARIABLE: uuid.uuid4().hex[:8], **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
