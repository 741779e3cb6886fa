"""The tutorial of docs/tour.md, done as a reader does it: every command in order, and all that it is said to print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alert_pipelines.mongo import MongoSettings, open_database
from alert_pipelines_tests.dagster_processes import dagster_home

CHECKOUT = Path(__file__).parents[1]
DATA = CHECKOUT.parent / "shared" / "data" / "servicenow_incidents" / "incident_event_log.csv.gz"

_BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- end of block"


def blocks() -> list[tuple[str, list[str]]]:
    """Each block of commands, and the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for kind, text in _BLOCK.findall((CHECKOUT / "docs" / "tour.md").read_text()):
        if kind == "bash":
            found.append((text, []))
        else:
            found[-1][1].extend(text.splitlines())
    return found


@pytest.mark.process
@pytest.mark.skipif(not DATA.is_file(), reason=f"the public data set {DATA} is not there")
def test_each_step_works_in_order_and_prints_what_the_tour_says(mongo_uri: str, tmp_path: Path) -> None:
    names = ("alert_pipelines_tour", "alert_pipelines_tour_past")
    steps = blocks()
    script = "\n".join(["set -euo pipefail", *(f"{commands}echo '{_END}'" for commands, _ in steps)])
    with dagster_home() as home:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=CHECKOUT,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "MONGODB_URI": mongo_uri,
                "MONGODB_DATABASE": names[0],
                "AUTO_CLOSE_MAX_FRACTION": "0.5",
                "DAGSTER_HOME": str(home),
                "DATA": str(DATA),
                "TOUR": str(tmp_path / "tour"),
            },
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        reports = list(home.glob("backtests/*/report.html"))
    printed = done.stdout.split(_END)
    for (commands, promised), output in zip(steps, printed, strict=False):
        missing = set(promised) - set(output.splitlines())
        assert not missing, f"{commands}\nprinted\n{output}"
    assert len(reports) == 1
    assert "settled" in (tmp_path / "tour" / "backtest.html").read_text()
    with open_database(MongoSettings(mongo_uri, names[0], tmp_path)) as db:
        for name in names:
            db.client.drop_database(name)
