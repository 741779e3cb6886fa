"""Which quick tests are slow, by the clock and not by their own work alone, since waiting is what makes most so.

Beside other tests each waits for the others' work: one that was slow is asked again, alone, and of up to three times
the least counts.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

TIMES_ALONE = 3
RECORDED, NAMED, FAILED = "recorded", "named", "failed"
_PROPERTY = "slow"
_MARKED = ("process", "slow", "long")

# What `_work_s` does takes so long where the quick tests take their five minutes.
_WORK_S = 0.0075


def add_options(parser: pytest.Parser) -> None:
    """What scripts/test asks of the tests that need few processes."""
    parser.addoption(
        "--slow",
        type=float,
        metavar="SECONDS",
        help="tell of what takes longer, alone too, and is not marked as slow, process or long; on a slower machine, "
        "of what takes that much longer",
    )
    parser.addoption(
        "--slow-is",
        choices=[RECORDED, NAMED, FAILED],
        default=FAILED,
        help="what to do about that: fail the run, name it in the summary, or leave it to the reports",
    )


class SlowTests:
    """The hooks that find them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._slow_s: float = config.getoption("--slow")
        self._is: str = config.getoption("--slow-is")
        # By the test, what is said of it.
        self._found: dict[str, str] = {}
        self._told = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Add to the reports of a test that it is slow."""
        # Where more wants to run than there are cores, each gets that much less of one. The suite alone has half as
        # many workers again as cores, which is no reason to allow more: what is named wrongly is asked again, alone.
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        limit = self._slow_s * self._slowness * max(1.0, load - 0.5)
        if call.duration > limit and call.excinfo is None and not any(map(item.get_closest_marker, _MARKED)):
            test = f"{item.path}::{item.nodeid.partition('::')[2]}"
            said = (
                f"{item.nodeid}: its {call.when} took {call.duration:.1f} s, where {limit:.1f} are allowed on a "
                "machine as slow and busy as this. Make it shorter, or mark it as slow or process, for scripts/test "
                "--all."
            )
            item.user_properties.append((_PROPERTY, f"{test}\n{said}"))

    @cached_property
    def _slowness(self) -> float:
        """How many times as long a little work takes here as on the machine that the limit is meant for; at least 1."""
        return max(1.0, min(_work_s() for _ in range(5)) / _WORK_S)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what was slow, whichever worker ran it."""
        self._found.update(_parted(str(value)) for name, value in report.user_properties if name == _PROPERTY)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Ask those again alone that were slow; xdist's workers have ended by now."""
        ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self._is == RECORDED or hasattr(session.config, "workerinput") or not ended:
            return
        failed = ""
        for _ in range(TIMES_ALONE):
            if self._found and not failed:
                self._found, failed = self._alone(sorted(self._found))
        self._told = "\n".join([*self._found.values(), failed]).strip()
        if (failed or (self._found and self._is == FAILED)) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _alone(self, tests: list[str]) -> tuple[dict[str, str], str]:
        """What is said of those that are slow in a run of these alone; and its output, if a test of it fails."""
        plugins = [part for name in self._config.getoption("plugins") for part in ("-p", name)]
        command = [sys.executable, "-m", "pytest", "-c", str(self._config.inipath), *plugins]
        with tempfile.TemporaryDirectory() as directory:
            reports = Path(directory) / "reports.xml"
            options = [f"--slow={self._slow_s}", f"--slow-is={RECORDED}", f"--junitxml={reports}"]
            done = subprocess.run(
                [*command, *options, *tests], cwd=self._config.rootpath, capture_output=True, text=True, check=False
            )
            if done.returncode:
                return {}, done.stdout + done.stderr
            properties = ET.parse(reports).iter("property")
            return dict(_parted(one.attrib["value"]) for one in properties if one.attrib["name"] == _PROPERTY), ""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was slow."""
        if self._told:
            terminalreporter.section("slow alone, too", red=self._is == FAILED, yellow=self._is == NAMED)
            terminalreporter.write_line(self._told)


def _work_s() -> float:
    began = time.process_time()
    sum(number * number for number in range(200_000))
    return time.process_time() - began


def _parted(value: str) -> tuple[str, str]:
    test, _, said = value.partition("\n")
    return test, said
