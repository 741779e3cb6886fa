"""Missed scans are red by themselves: the window, and what a real daemon makes of it."""

from datetime import timedelta

import pytest
from dagster import AssetKey, FreshnessPolicy

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.scan.freshness import stale_after
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.settings import read_settings
from alert_pipelines_tests.dagster_processes import RUN_LIMIT_S, dagster_processes, wait_until

JOBS = AssetKey("background_jobs")


@pytest.mark.parametrize(
    ("cron", "minutes"),
    [
        ("*/5 * * * *", 15),
        ("* * * * *", 3),
        ("0 * * * *", 180),
        # From Friday 18:00 to Monday 8:00, and two hours more.
        ("0 8-18 * * 1-5", 64 * 60),
        # The weekend, whatever number of ticks comes before it.
        ("*/5 * * * 1-5", 48 * 60 + 15),
        ("*/5 17,8-16 * * MON-FRI", 62 * 60 + 15),
        ("@daily", 3 * 24 * 60),
    ],
)
def test_the_window_follows_the_schedule(cron: str, minutes: int) -> None:
    assert stale_after(read_settings({"AUTO_CLOSE_CRON": cron})) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("cron", "minutes"), [("*/5 * * * *", 15), ("0 8-18 * * 1-5", 65 * 60), ("*/5 8-17 * * *", 14 * 60 + 5 + 60 + 10)]
)
def test_a_night_in_which_the_clocks_go_back_is_no_missed_scan(cron: str, minutes: int) -> None:
    settings = read_settings({"AUTO_CLOSE_CRON": cron, "AUTO_CLOSE_TIMEZONE": "Europe/Berlin"})
    assert stale_after(settings) == timedelta(minutes=minutes)


def test_a_setting_outranks_it_and_off_misses_nothing() -> None:
    assert stale_after(read_settings({"AUTO_CLOSE_STALE_MINS": "40"})) == timedelta(minutes=40)
    assert stale_after(read_settings({"AUTO_CLOSE_CRON": "off", "AUTO_CLOSE_STALE_MINS": "40"})) is None


def test_the_job_records_carry_it_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build_defs().resolve_asset_graph()
    policies = {node.key: node.freshness_policy for node in graph.asset_nodes if node.freshness_policy}
    assert policies == {JOBS: FreshnessPolicy.time_window(timedelta(minutes=15))}
    monkeypatch.setenv("AUTO_CLOSE_CRON", "off")
    assert not any(node.freshness_policy for node in build_defs().resolve_asset_graph().asset_nodes)


@pytest.mark.process
def test_scans_that_stop_are_red_by_themselves_and_the_next_one_is_green_again(
    mongo_uri: str, db: AlertDatabase
) -> None:
    settings = {
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": db.name,
        # No tick comes while the test lasts.
        "AUTO_CLOSE_CRON": "0 0 29 2 *",
        "AUTO_CLOSE_STALE_MINS": "1",
        "FRESHNESS_DAEMON_INTERVAL_SECONDS": "5",
    }
    with dagster_processes(settings) as dagster:

        def wait_for(state: str) -> None:
            def is_so() -> bool:
                record = dagster.instance.get_freshness_state_records([JOBS]).get(JOBS)
                return record is not None and record.freshness_state.value == state

            wait_until(is_so, f"the state {state}", RUN_LIMIT_S)

        dagster.wait_for_success(dagster.launch())
        wait_for("PASS")
        wait_for("FAIL")
        dagster.wait_for_success(dagster.launch())
        wait_for("PASS")
