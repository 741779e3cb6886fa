"""What the deployment files say, read from them, so that what is tried here cannot drift from what is deployed."""

import configparser
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from alert_pipelines_tests.dagster_processes import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
INSTALLED = "/opt/alert_pipelines"
PROCESSES = ("code-server", "daemon", "webserver")


def compose() -> dict[str, Any]:
    """The compose file, its anchors merged."""
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return read


def unit_file(process: str) -> Path:
    """The systemd unit of a process."""
    return DEPLOY / "systemd" / f"alert-pipelines-{process}.service"


def unit(process: str) -> Mapping[str, str]:
    """Its section [Service]; of a key that is given several times, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit_file(process))
    return parser["Service"]


def commands() -> dict[tuple[str, str], list[str]]:
    """The command line of each process as compose and as systemd start it, by (where, process)."""
    found = {("compose", process): list(compose()["services"][process]["command"]) for process in PROCESSES}
    for process in PROCESSES:
        program, *arguments = shlex.split(unit(process)["ExecStart"])
        found["systemd", process] = [program.removeprefix(f"{INSTALLED}/venv/bin/"), *arguments]
    return found
