"""docs/performance.md says what benchmarks/results hold, and nothing else."""

import json
from pathlib import Path

import pytest

from benchmarks import arithmetic, render, workbench


def test_the_page_is_what_its_results_make() -> None:
    assert render.PAGE.read_text() == render.page(), "run python -m benchmarks.render"


def test_without_results_the_page_names_the_command_of_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (render, arithmetic):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    page = render.page()
    plain = ("peers", "growth", "first_looks", "others", "windows", "memory", "tick", "loading")
    for command in (*plain, "interference --due 20000 --max-writes-per-s 500"):
        assert f"`python -m benchmarks.{command} --json`" in page


def test_every_result_says_what_it_was_measured_with() -> None:
    for path in workbench.RESULTS.glob("*.json"):
        about = json.loads(path.read_text())["about"]
        assert set(about) >= {"command", "date", "processor", "cores", "mongod", "pymongo", "dagster"}, path
        assert str(Path.home()) not in json.dumps(about), path
