"""What the suite asks of its own tests: that none slows down a run of all, and that nothing is left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.inner_pytest import run_tests
from alert_pipelines_tests.leftovers import semaphores
from alert_pipelines_tests.memory import MEMORY
from alert_pipelines_tests.patience import wait_until

# To the inner run no machine is busy or slow.
IDLE = """
import os
import time
from pathlib import Path

os.getloadavg = lambda: (0.0, 0.0, 0.0)
time.process_time = lambda: 0.0
"""

SLOW = f"""{IDLE}
import pytest

def test_quick(): pass

def test_waiting(): time.sleep(0.8)

@pytest.mark.process
def test_process(): time.sleep(0.8)

@pytest.fixture
def waiting(): time.sleep(0.8)

def test_prepared(waiting): pass
"""

# A second for each thing it does.
SLOW_MACHINE = """
import itertools

time.process_time = itertools.count().__next__
"""

LEAVING = """
import subprocess
import tempfile
from pathlib import Path
from alert_pipelines_tests.memory import MEMORY, PREFIX

def test_leaving():
    process = subprocess.Popen(["sleep", "100"], start_new_session=True)
    process.returncode = 0
    directory = tempfile.mkdtemp(prefix=PREFIX, dir=MEMORY)
    Path(__file__).with_name("left").write_text(f"{process.pid} {directory}")
"""

LEAVING_AND_INTERRUPTED = f"""{LEAVING}
    raise KeyboardInterrupt
"""

FAILING_ALONE = f"""{IDLE}
def test_once():
    Path(__file__).with_name("asked").open("x").close()
    time.sleep(0.8)
"""

# Slow beside others, and once alone.
SLOW_TWICE = f"""{IDLE}
def test_twice():
    asked = Path(__file__).with_name("asked")
    asked.write_text(asked.read_text() + "." if asked.exists() else ".")
    time.sleep(0.8 if len(asked.read_text()) < 3 else 0)
"""

INTERRUPTED = f"""{FAILING_ALONE}
def test_interrupted():
    raise KeyboardInterrupt
"""

MEASURED = """
import subprocess
import sys
import pytest

def measured():
    command = [sys.executable, "-c", "import sys; print(sys.gettrace() is not None)"]
    return sys.gettrace() is not None, subprocess.run(command, capture_output=True).stdout == b"True\\n"

def test_quick():
    assert measured() == (True, True)

@pytest.mark.slow
def test_slow():
    assert measured() == (False, False)

def test_quick_after_a_slow_one():
    assert measured() == (True, True)
"""

MARKED_ELSEWHERE = """
import pytest

TIER = "process"

@getattr(pytest.mark, TIER)
def test_marked(): pass
"""

LIMIT = "--slow=0.6"


def runs(pid: int) -> bool:
    """Whether there is such a process; one that ended may be a zombie until its parent asks."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.process
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_slow_test_made_every_run_slower_and_nobody_was_told(tmp_path: Path, workers: str) -> None:
    done = run_tests(tmp_path, SLOW, LIMIT, "--numprocesses", workers)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "::test_waiting: its call took " in done.stdout
    assert "::test_prepared: its setup took " in done.stdout
    assert "::test_quick: its" not in done.stdout
    assert "::test_process: its" not in done.stdout


@pytest.mark.process
def test_continuous_integration_failed_for_how_busy_its_machine_was(tmp_path: Path) -> None:
    done = run_tests(tmp_path, SLOW, LIMIT, "--slow-is=named")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "::test_waiting: its call took " in done.stdout
    assert "::test_prepared: its setup took " in done.stdout


@pytest.mark.process
def test_a_quick_test_failed_for_how_slow_the_machine_was(tmp_path: Path) -> None:
    done = run_tests(tmp_path, SLOW + SLOW_MACHINE, LIMIT)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.OK


@pytest.mark.process
def test_what_is_quick_the_third_time_it_is_asked_is_quick(tmp_path: Path) -> None:
    done = run_tests(tmp_path, SLOW_TWICE, LIMIT)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "slow alone" not in done.stdout
    assert len((tmp_path / "asked").read_text()) >= 3


@pytest.mark.process
@pytest.mark.parametrize("what", ["failed", "named"])
def test_a_slow_test_that_fails_when_it_is_asked_alone_fails_the_run(tmp_path: Path, what: str) -> None:
    done = run_tests(tmp_path, FAILING_ALONE, LIMIT, f"--slow-is={what}")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "FileExistsError" in done.stdout


@pytest.mark.process
def test_after_ctrl_c_the_slow_tests_were_asked_again(tmp_path: Path) -> None:
    done = run_tests(tmp_path, INTERRUPTED, LIMIT)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    assert "FileExistsError" not in done.stdout


@pytest.mark.process
def test_a_test_whose_file_does_not_name_its_tier_would_be_in_no_run(tmp_path: Path) -> None:
    done = run_tests(tmp_path, MARKED_ELSEWHERE)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_marked is marked as process: write pytest.mark.process in its file" in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_a_test_left_on_the_machine_was_not_told(tmp_path: Path, workers: str) -> None:
    done = run_tests(tmp_path, LEAVING, "--numprocesses", workers)
    pid, directory = (tmp_path / "left").read_text().split()
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"process {pid}: sleep 100\n" in done.stdout
    assert directory in done.stdout
    assert not runs(int(pid))
    assert not Path(directory).exists()


@pytest.mark.process
@pytest.mark.parametrize("workers", ["0", "1"])
def test_after_ctrl_c_the_servers_of_the_tests_ran_on(tmp_path: Path, workers: str) -> None:
    done = run_tests(tmp_path, LEAVING_AND_INTERRUPTED, "--numprocesses", workers)
    pid, directory = (tmp_path / "left").read_text().split()
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    assert "left on the machine" not in done.stdout
    assert not runs(int(pid))
    assert not Path(directory).exists()


@pytest.mark.process
@pytest.mark.parametrize("workers", ["0", "1"])
def test_coverage_made_every_slow_test_twice_as_slow(tmp_path: Path, workers: str) -> None:
    traced = {"COVERAGE_CORE": "pytrace"}
    done = run_tests(tmp_path, MEASURED, "--numprocesses", workers, env=traced, measured=True)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    # Of the one that runs them, of each worker, and of two of the three processes that the tests start.
    assert len(list(tmp_path.glob("coverage.*"))) == 1 + int(workers) + 2


@pytest.mark.skipif(MEMORY is None, reason="there is no shared memory here")
def test_a_semaphore_that_no_process_holds_any_longer_was_not_told() -> None:
    assert MEMORY is not None
    name = f"left-{os.getpid()}"
    # As multiprocessing makes one, where no resource tracker is left to remove it.
    code = f"import _multiprocessing; s = _multiprocessing.SemLock(1, 1, 1, '/{name}', False); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        try:
            wait_until((MEMORY / f"sem.{name}").exists, "the semaphore")
            assert str(MEMORY / f"sem.{name}") not in semaphores()
            process.kill()
            process.wait()
            assert str(MEMORY / f"sem.{name}") in semaphores()
        finally:
            (MEMORY / f"sem.{name}").unlink()


@pytest.mark.process
def test_names_of_tests_differed_from_one_worker_to_the_other() -> None:
    # Two workers that have collected different names end the run. They start at other times, with other hashes.
    names = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == pytest.ExitCode.OK, done.stdout[-2_000:] + done.stderr
        names.append([line for line in done.stdout.splitlines() if "::" in line])
        # A date of a whole second, as in what gzip writes, is another one now.
        time.sleep(1)
    assert len(names[0]) > 1000
    assert names[0] == names[1]
