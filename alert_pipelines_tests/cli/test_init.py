"""`init`: the files that an installation without a checkout needs."""

from pathlib import Path

import pytest
import yaml

from alert_pipelines.cli.init import TEMPLATES
from alert_pipelines_tests.cli.conftest import Run

CHECKOUT = Path(__file__).parents[2]
OF_THE_CHECKOUT = {
    "dagster.yaml": CHECKOUT / "dagster.yaml",
    "workspace.yaml": CHECKOUT / "workspace.yaml",
    "mongodb-roles.json": CHECKOUT / "deploy" / "mongodb-roles.json",
}


def test_who_installed_the_wheel_had_no_settings_of_dagster_and_no_roles(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "new" / "home"
    shown = run("init", str(target)).stdout
    assert {path.name for path in target.iterdir()} == set(TEMPLATES) == set(OF_THE_CHECKOUT)
    for name, original in OF_THE_CHECKOUT.items():
        assert (target / name).read_bytes() == original.read_bytes()
        assert original.resolve() == CHECKOUT / "alert_pipelines" / "templates" / name
        assert f"{target / name}: " in shown
    assert yaml.safe_load((target / "workspace.yaml").read_text())["load_from"]


@pytest.mark.parametrize("name", OF_THE_CHECKOUT)
def test_a_file_that_is_there_is_kept_and_none_is_written(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    assert f"holds {name} already" in run("init", str(tmp_path), code=1).stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
