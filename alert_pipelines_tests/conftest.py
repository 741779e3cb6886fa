"""What every test may ask for: a real mongod for the session, and a fresh database for each test.

With pytest-xdist each worker is a session of its own and so has its own mongod.
"""

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from coverage import Coverage

from alert_pipelines import job_records
from alert_pipelines.mongo import AlertDatabase, MongoSettings, ensure_local_mongod, open_database
from alert_pipelines.settings import LOCAL_DIR_VARIABLE
from alert_pipelines_tests import slow_tests
from alert_pipelines_tests.leftovers import end_leftovers, leftovers
from alert_pipelines_tests.memory import MEMORY, PREFIX
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.prepared_database import PreparedDatabase

_CHECKOUT = Path(__file__).parents[1]

# Waits for the end of the test process, whatever that is: a fixture's own clean-up is skipped when a
# worker is killed, and a mongod that outlives its starter would then run on for ever.
_GUARD = """
import shutil, sys
from pathlib import Path
from alert_pipelines.mongo import stop_local_mongod
sys.stdin.read()
stop_local_mongod(Path(sys.argv[1]))
shutil.rmtree(sys.argv[1])
"""


# What a test of each mark may take, in quick ones.
_TAKES = {"proof": 100, "process": 50, "slow": 20}
_TIERS = (*_TAKES, "long")
# An expression that begins so holds for no test without the mark.
_OF_ONE_TIER = re.compile(rf"({'|'.join(_TIERS)})( and (?!.*\bor\b).*)?")
_LEFT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What scripts/test asks of the tests that need few processes."""
    slow_tests.add_options(parser)
    parser.addoption("--longest-first", action="store_true", help="begin with the files that may take longest")


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGINT interrupt: a script's shell has what it starts in the background, and all that starts, ignore it."""
    if config.getoption("--slow") is not None:
        config.pluginmanager.register(slow_tests.SlowTests(config))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def _names(file: Path, mark: str) -> bool:
    return f"pytest.mark.{mark}" in file.read_text(encoding="utf-8")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file for tests of a tier that it does not name: each worker would import all of them."""
    wanted = _OF_ONE_TIER.fullmatch(config.getoption("markexpr"))
    if wanted is None or not collection_path.match("test_*.py"):
        return None
    return not _names(collection_path, wanted[1]) or None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a test that bears a tier's mark in a file that does not name it: no run would collect it."""
    for mark in item.iter_markers():
        if mark.name in _TIERS and not _names(item.path, mark.name):
            raise pytest.UsageError(
                f"{item.nodeid} is marked as {mark.name}: write pytest.mark.{mark.name} in its file"
            )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage in what is imported: of that nothing ever is, and to look takes seconds in each worker."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where files are shared out to workers, let none be left with a long one when the others have ended."""
    if config.getoption("--longest-first"):
        takes = Counter[Path]()
        for item in items:
            takes[item.path] += max((_TAKES.get(mark.name, 1) for mark in item.iter_markers()), default=1)
        items.sort(key=lambda item: -takes[item.path])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no slow test, nor what it starts: it would take twice as long, and tell of few lines more."""
    measuring = Coverage.current()
    if measuring is None or item.get_closest_marker("slow") is None:
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        # Set by coverage for the processes that a measured one starts.
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        measuring.stop()
        try:
            return (yield)
        finally:
            measuring.start()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are not there; in continuous integration, where nobody reads of skips, fail it."""
    needed = {program for mark in item.iter_markers("needs") for program in mark.args}
    if missing := sorted(program for program in needed if shutil.which(program) is None):
        reason = f"{', '.join(missing)} not found: as root on Debian, scripts/test sees to it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run where anything is left on the machine, and remove it; xdist's workers have ended by now.

    After Ctrl-C they get ten seconds to end. Servers may take longer, so what is left then is no fault of a test.
    """
    if hasattr(session.config, "workerinput"):
        # On a busy machine a worker is killed before it would write by itself what it has measured.
        if (measuring := Coverage.current()) is not None:
            measuring.save()
        return
    if session.config.option.collectonly:
        return
    if session.exitstatus != pytest.ExitCode.INTERRUPTED:
        session.config.stash[_LEFT] = leftovers()
        if session.config.stash[_LEFT] and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    end_leftovers()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left."""
    if left := config.stash.get(_LEFT, []):
        terminalreporter.section("left on the machine", red=True)
        terminalreporter.write_line("\n".join(left))


@contextmanager
def guarded_local_dir() -> Iterator[Path]:
    """A directory for a local mongod, which is stopped at the end, also when the test process is killed."""
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=MEMORY))
    command = [sys.executable, "-c", _GUARD, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=_CHECKOUT, start_new_session=True) as guard:
        try:
            yield directory
        finally:
            guard.communicate(timeout=LIMIT_S)
    assert guard.returncode == 0, f"the mongod in {directory} was not stopped"


@pytest.fixture(scope="session", autouse=True)
def _no_database_by_mistake() -> Iterator[None]:
    """A test that names no database fails, where it would start the checkout's own mongod and use that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOCAL_DIR_VARIABLE, __file__)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_limit_of_the_scan() -> Iterator[None]:
    """Scans of tests may do all that is due, also the first; the tests of the limits take the settings away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTO_CLOSE_MAX_FRACTION", "1")
        patch.setenv("AUTO_CLOSE_MAX_ESCALATE_FRACTION", "1")
        yield


@pytest.fixture(autouse=True)
def _no_wait_for_a_server_that_was_away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To sweep a dead scan, wait a second only in tests whose server may have been away with a write in hand."""
    if not any(map(request.node.get_closest_marker, ("process", "long"))):
        monkeypatch.setattr(job_records, "_LAST_WRITE_S", 0.01)


@pytest.fixture
def local_dir() -> Iterator[Path]:
    """A directory for a local mongod of the test's own; whatever it starts there is stopped."""
    with guarded_local_dir() as directory:
        yield directory


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """The URI of the session's mongod."""
    with guarded_local_dir() as directory:
        yield ensure_local_mongod(directory)


@pytest.fixture
def bare_db(mongo_uri: str, tmp_path: Path) -> Iterator[AlertDatabase]:
    """A database that nobody else uses, empty and without indexes, dropped afterwards."""
    settings = MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", tmp_path)
    with open_database(settings) as database:
        yield database
        database.client.drop_database(database.name)


@pytest.fixture(scope="session")
def _prepared(mongo_uri: str) -> Iterator[PreparedDatabase]:
    name = f"test_{uuid.uuid4().hex}"
    with open_database(MongoSettings(mongo_uri, name, Path())) as database:
        yield PreparedDatabase(database)
        database.client.drop_database(name)


@pytest.fixture
def db(_prepared: PreparedDatabase) -> AlertDatabase:
    """A database that nobody else uses meanwhile, empty, with the project's indexes."""
    return _prepared.made_as_new()
