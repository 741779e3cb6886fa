"""What the scripts install and leave in the environment, on a machine that has the rest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alert_pipelines_tests.dagster_processes import CHECKOUT

INSTALLED = ("chromium", "faketime", "promtool")
APT_GET = '#!/bin/sh\necho "$@" >>"$APT_GET_LOG"\n'


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")
def test_a_browser_that_was_missing_was_not_installed(tmp_path: Path) -> None:
    commands, log = tmp_path / "bin", tmp_path / "log"
    commands.mkdir()
    for directory in reversed(os.environ["PATH"].split(os.pathsep)):
        for command in Path(directory).glob("*"):
            if command.name not in (*INSTALLED, "apt-get"):
                (commands / command.name).unlink(missing_ok=True)
                (commands / command.name).symlink_to(command)
    (commands / "apt-get").write_text(APT_GET)
    (commands / "apt-get").chmod(0o755)
    environment = {**os.environ, "PATH": str(commands), "APT_GET_LOG": str(log)}
    done = subprocess.run(
        ["scripts/test", "--version"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked = log.read_text().splitlines()
    assert "install -y -qq --no-install-recommends chromium" in asked
    assert "install -y -qq --no-install-recommends faketime" in asked


@pytest.mark.skipif(
    Path(sys.prefix) != CHECKOUT / ".venv", reason="the script would make the environment .venv, which is not this one"
)
@pytest.mark.parametrize("script", ["environment", "develop"])
def test_each_process_compiled_dagster_again(script: str) -> None:
    command = f"source scripts/{script} && python -c 'import sys; print(sys.dont_write_bytecode)'"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
