"""A run that hangs: it is ended by Dagster's bound on its time, here one of seconds, and the queue goes on."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import DagsterRunStatus

from alert_pipelines_tests.conftest import guarded_local_dir
from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.reliability.conftest import Figures
from alert_pipelines_tests.reliability.fleet import fill_fleet
from alert_pipelines_tests.reliability.site import SCAN, Site, open_site

pytestmark = pytest.mark.process

BOUND_S = 5


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The project's own settings, but for the bounds."""
    settings = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
    settings["run_monitoring"] |= {"max_runtime_seconds": BOUND_S, "poll_interval_seconds": 1}
    config = tmp_path_factory.mktemp("settings") / "dagster.yaml"
    config.write_text(yaml.safe_dump(settings))
    with guarded_local_dir() as directory, open_site(directory, config) as made:
        yield made


def wait_for_its_bound(site: Site, run_id: str) -> None:
    """Wait until the run is ended, and see that its bound ended it: as failed, or, where it still heeds, cancelled."""
    ended = site.dagster.wait_for_end(run_id)
    assert ended.status in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    said = [entry.message for entry in site.dagster.instance.all_logs(run_id)]
    assert any(f"exceeding maximum runtime of {BOUND_S} seconds" in text for text in said), said


def test_a_run_that_waits_for_ever_is_ended_and_the_queue_goes_on(site: Site, tmp_path: Path, figures: Figures) -> None:
    fill_fleet(site.db, 30)
    # Opening it waits for a writer, and none comes.
    os.mkfifo(tmp_path / "alerts.csv")
    mapping = str(CHECKOUT / "mappings" / "ids_alerts.yaml")
    config = {"ops": {"load": {"config": {"file": str(tmp_path / "alerts.csv"), "mapping": mapping}}}}
    run_id = site.dagster.launch("load_alerts_job", config)
    next_run = site.dagster.launch(run_config=SCAN)
    began = time.monotonic()
    wait_for_its_bound(site, run_id)
    ended_s = time.monotonic() - began
    site.dagster.wait_for_success(next_run)
    figures(ended_s=ended_s, next_scan_done_s=time.monotonic() - began)
