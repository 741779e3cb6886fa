"""Every command of every page is executed: page by page, in order, in a scratch checkout on a database of its own.

What cannot run here is named below with the reason; bash reads it all the same.
"""

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alert_pipelines.loading import insert_week
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.factories import alert, fill
from alert_pipelines_tests.patience import LIMIT_S

PAGES = {page.relative_to(CHECKOUT).as_posix(): page for page in [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")]}

# These have a test of their own that executes them: their commands need a data set, a second shell, or arguments.
ELSEWHERE = {
    "docs/cli.md": "cli/test_docs.py",
    "docs/presets.md": "loading/test_presets.py",
    "docs/tour.md": "test_tour.py",
    "docs/operating.md": "test_operating_recipes.py",
}

# A block with a command that begins so is read by bash and not run.
NOT_HERE = {
    "docker": "no engine; deploy/ is tried by its own tests",
    "kubectl": "no cluster",
    "helm": "no cluster",
    "systemctl": "no systemd as the first process",
    "useradd": "root's; the same steps are replayed from the Dockerfile",
    "mongodump": "MongoDB's tools are not among the dependencies",
    "mongorestore": "the same",
    "pg_dump": "a Postgres that is not there",
    "pg_restore": "the same",
    "scripts/test": "this very suite",
    "python -m benchmarks.": "takes half an hour; test_benchmarks.py runs each with few alerts",
    "scripts/dev": "runs until it is stopped; test_layout.py starts and stops it",
    "dg dev": "the same",
    "dagster dev": "the same",
    "dagster-daemon run": "the same; deploy/test_processes.py starts it",
    "dagster-webserver": "the same; deploy/test_processes.py starts it",
    "alert-pipelines doctor": "exits with 1 without a daemon; defs/test_guest.py has one",
    "alert-pipelines metrics serve": "the same; test_metrics.py does",
    "alert-pipelines metrics write /var/lib": "node_exporter's directory; docs/cli.md has it with another",
}

# What a page says only in part: a synopsis, or a file that is the reader's own.
_SYNOPSIS = re.compile(r"\[--|(?<![\w$./-])FILE\b")
_DATA = CHECKOUT.parent / "shared" / "data"
_DATA_FILES = {
    "russellmitchell_alerts.csv.gz": _DATA / "ids_alerts" / "russellmitchell_alerts.csv.gz",
    "incident_event_log.csv.gz": _DATA / "servicenow_incidents" / "incident_event_log.csv.gz",
}

_FENCED = re.compile(r"^( *)```(?:bash|sh|shell|console)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_ANY_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)
_STARTS_LIKE_A_COMMAND = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:source|export|alert-pipelines|dagster|dg|scripts/|python|docker|helm|git|cd) ?"
)
_FILE = re.compile(r"`([\w-]+\.(?:yaml|json))`:\n\n```(?:yaml|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """The page's blocks of commands in order: fenced as a shell's, or indented and beginning like a command."""
    fenced = _FENCED.finditer(text)
    found = [(match.start(), re.sub(f"^{match[1]}", "", match[2], flags=re.MULTILINE)) for match in fenced]
    outside = _ANY_FENCE.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), text)
    for match in _INDENTED.finditer(outside):
        commands = re.sub(r"^ {4}", "", match[0], flags=re.MULTILINE).strip("\n")
        if _STARTS_LIKE_A_COMMAND.match(commands):
            found.append((match.start(), commands + "\n"))
    return [commands for _, commands in sorted(found)]


def why_not_here(commands: str) -> str | None:
    """Why a block cannot run here, or None where it can."""
    lines = re.findall(r"^\s*(?:[A-Z_]+=\S+ )*(.*)$", commands, re.MULTILINE)
    reasons = [reason for begin, reason in NOT_HERE.items() if any(line.startswith(begin) for line in lines)]
    if _SYNOPSIS.search(commands):
        reasons.append("a synopsis")
    reasons += [f"{name} is not there" for name, path in _DATA_FILES.items() if name in commands and not path.is_file()]
    return reasons[0] if reasons else None


def fleet(db: AlertDatabase) -> None:
    """A week of alerts, rules as the old service has them, and what its job left when it died."""
    publish_rules(db, default_rules())
    db.rules.update_many({}, {"$unset": {"mode": ""}})
    insert_week(db, seed=1, until=datetime.now(UTC))
    old = {"job_type": "auto_close_scanner", "status": "running", "started_at": datetime.now(UTC) - timedelta(hours=2)}
    db.background_jobs.insert_many([{"job_id": f"JOB-OLD-{number}", **old} for number in range(3)])


PREPARED: dict[str, Callable[[AlertDatabase], None]] = {
    "docs/migrating.md": fleet,
    "docs/deployment.md": fleet,
    "docs/upgrade.md": fleet,
    "docs/windows.md": lambda db: fill(db, [alert("ALERT_ID")]),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The checkout as its reader has it, where commands may write what they like."""
    for entry in CHECKOUT.iterdir():
        if entry.name in {"deploy", "docs", "mappings", "scripts"}:
            shutil.copytree(entry, tmp_path / entry.name)
        elif entry.name not in {".git", ".local", "build"}:
            (tmp_path / entry.name).symlink_to(entry)
    for name, path in _DATA_FILES.items():
        if path.is_file():
            (tmp_path / name).symlink_to(path)
    return tmp_path


@pytest.fixture
def database(mongo_uri: str) -> Iterator[AlertDatabase]:
    with open_database(MongoSettings(mongo_uri, f"test_{uuid.uuid4().hex}", Path())) as db:
        yield db
        db.client.drop_database(db.name)
        db.client.drop_database("alert_pipelines_demo")


def bash(commands: str, checkout: Path, env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *options, "-c", commands],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


@pytest.mark.process
@pytest.mark.parametrize("page", [page for page in sorted(PAGES.keys() - ELSEWHERE) if blocks(PAGES[page].read_text())])
def test_the_commands_of_a_page_run_in_order(
    page: str, checkout: Path, database: AlertDatabase, mongo_uri: str
) -> None:
    text = PAGES[page].read_text()
    found = blocks(text)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(checkout),
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": database.name,
        "DAGSTER_HOME": str(checkout / ".local" / "dagster"),
        "ALERT_PIPELINES_LOCAL_DIR": str(checkout / ".local"),
        "PYTHONWARNINGS": "ignore",
    }
    if page in PREPARED:
        PREPARED[page](database)
    # As the scripts leave it, also for a page whose reader has sourced them before.
    found.insert(0, "source scripts/environment\n")
    for name, content in _FILE.findall(text):
        (checkout / name).write_text(content)
    for commands in found:
        read = bash(commands, checkout, env, "-n")
        assert read.returncode == 0, f"{commands}\n{read.stderr}"
    runnable = [commands for commands in found if not why_not_here(commands)]
    done = bash("set -euo pipefail\n" + "\n".join(runnable), checkout, env)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_readme_s_python_runs(database: AlertDatabase, mongo_uri: str) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGES["README.md"].read_text(), re.MULTILINE | re.DOTALL)
    env = {**os.environ, "MONGODB_URI": mongo_uri, "MONGODB_DATABASE": database.name}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    assert "'alerts_closed': 0" in done.stdout


def test_pages_with_a_test_of_their_own_are_there() -> None:
    for page, where in ELSEWHERE.items():
        assert page in PAGES
        assert (CHECKOUT / "alert_pipelines_tests" / where).is_file()


def test_blocks_of_both_kinds_are_found_and_what_only_looks_like_one_is_not() -> None:
    page = "a\n\n    export A=1\n    dg dev\n\n```bash\nls\n```\n\n1. b\n\n   ```bash\n   pwd\n   ```\n"
    page += "\n```yaml\n    dg: x\n```\n\n    a quotation\n"
    assert blocks(page) == ["export A=1\ndg dev\n", "ls\n", "pwd\n"]
    assert why_not_here("pwd\n") is None
    assert why_not_here("A=1 docker ps\n") is not None
