"""What `scripts/test` runs, with `--all` and with `-m long`: each test is in one of the three."""

import subprocess
import sys
from pathlib import Path

import pytest

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.memory import env_of_another_run
from alert_pipelines_tests.patience import LIMIT_S

pytestmark = pytest.mark.skipif(
    Path(sys.prefix) != CHECKOUT / ".venv", reason="the script would make the environment .venv, which is not this one"
)

# Holds tests of every tier, and takes little time to import.
DIRECTORY = "alert_pipelines_tests/reliability"

INTERRUPTED = """
from pathlib import Path
import pytest

def test_interrupted():
    raise KeyboardInterrupt

@pytest.mark.process
def test_waiting():
    Path(__file__).with_name("waited").touch()
"""


def collected(*arguments: str, paths: tuple[str, ...] = (DIRECTORY,)) -> set[str]:
    """The tests that the script would run."""
    return set(in_order(*arguments, paths=paths))


def in_order(*arguments: str, paths: tuple[str, ...] = (DIRECTORY,)) -> list[str]:
    """The same in the order in which workers are given them."""
    command = [str(CHECKOUT / "scripts" / "test"), *arguments, "--collect-only", "-q", "-p", "no:cacheprovider", *paths]
    done = subprocess.run(
        command, env=env_of_another_run(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.process
def test_the_default_leaves_out_what_takes_processes_but_its_short_proof_and_no_test_is_in_no_tier() -> None:
    default, without_long, long = collected(), collected("--all"), collected("-m", "long")
    proof = "alert_pipelines_tests/reliability/test_replica_set.py::test_the_primary_steps_down_in_mid_scan[5000]"
    assert {test for test in default if "test_replica_set.py" in test} == {proof}
    assert default < without_long
    assert not without_long & long
    assert without_long | long == collected("-m", "")


@pytest.mark.process
def test_without_a_path_the_suite_s_own_options_were_unknown() -> None:
    assert len(collected("-m", "proof", paths=())) == 3


@pytest.mark.process
def test_at_the_end_of_a_run_a_worker_was_left_with_a_file_that_takes_long() -> None:
    first, *_ = in_order()
    assert "test_replica_set.py::test_the_primary_steps_down_in_mid_scan" in first


@pytest.mark.process
def test_after_ctrl_c_the_tests_that_wait_were_begun(tmp_path: Path) -> None:
    file = tmp_path / "test_inner.py"
    file.write_text(INTERRUPTED)
    settings = ["-c", "pyproject.toml", "-p", "alert_pipelines_tests.conftest", "-p", "no:cacheprovider"]
    command = [str(CHECKOUT / "scripts" / "test"), "--all", *settings, str(file)]
    environment = {**env_of_another_run(), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    assert not (tmp_path / "waited").exists()
