"""The wheel in an empty environment, as who has no checkout installs it: what it brings is enough to scan."""

import os
import re
import shutil
import subprocess
import sys
import uuid
import venv
from pathlib import Path

import pytest
from pymongo import MongoClient

from alert_pipelines_tests.dagster_processes import CHECKOUT

pytestmark = [pytest.mark.process, pytest.mark.timeout(1800)]


def run(command: list[str | Path], cwd: Path, env: dict[str, str]) -> str:
    """What the command printed; a command that fails fails the test with all of it."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(directory: Path, env: dict[str, str]) -> Path:
    """Built from a copy, since setuptools writes beside what it builds."""
    source = directory / "source"
    shutil.copytree(
        CHECKOUT / "alert_pipelines", source / "alert_pipelines", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(CHECKOUT / "docs", source / "docs", ignore=shutil.ignore_patterns("images"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", directory, source], source, env)
    (wheel,) = directory.glob("alert_pipelines-*.whl")
    return wheel


def pages_named() -> set[str]:
    """The pages that messages, descriptions and comments of the package send a reader to."""
    texts = (path.read_text() for path in (CHECKOUT / "alert_pipelines").rglob("*.py"))
    return {page for text in texts for page in re.findall(r"docs/[\w-]+\.md", text)}


def test_the_wheel_alone_was_never_tried(tmp_path: Path, mongo_uri: str) -> None:
    home, bin_dir = tmp_path / "home", tmp_path / "venv" / "bin"
    database = f"test_{uuid.uuid4().hex}"
    passed_on = {name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "ssl_"))}
    env = passed_on | {"PATH": f"{bin_dir}:/usr/bin:/bin", "HOME": str(Path.home()), "DAGSTER_HOME": str(home)}
    env |= {"MONGODB_URI": mongo_uri, "MONGODB_DATABASE": database, "AUTO_CLOSE_MAX_FRACTION": "1"}
    wheel = build_wheel(tmp_path, env)
    venv.create(tmp_path / "venv", with_pip=True)
    pip: list[str | Path] = [bin_dir / "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile"]
    run([*pip, "--require-hashes", "-r", CHECKOUT / "run.lock"], tmp_path, env)
    run([*pip, "--no-index", wheel], tmp_path, env)
    run([bin_dir / "pip", "--disable-pip-version-check", "check"], tmp_path, env)

    pages = tmp_path / "venv" / "share" / "doc" / "alert_pipelines"
    assert not {page for page in pages_named() if not (pages / page).is_file()}
    assert "dagster.yaml" in run(["alert-pipelines", "init", home], tmp_path, env)
    try:
        run(["alert-pipelines", "rules", "publish", "--yes"], home, env)
        run(["alert-pipelines", "sample-week"], home, env)
        run(["dagster", "definitions", "validate", "-w", "workspace.yaml"], home, env)
        run(["dagster", "job", "execute", "-m", "alert_pipelines.definitions", "-j", "auto_close_job"], home, env)
        run(["alert-pipelines", "scan"], home, env)
        with MongoClient[dict[str, object]](mongo_uri) as client:
            first, second = client[database].background_jobs.find().sort("started_at", 1)
    finally:
        with MongoClient[dict[str, object]](mongo_uri) as client:
            client.drop_database(database)
    assert (first["status"], second["status"]) == ("completed", "completed")
    assert first["alerts_closed"]
