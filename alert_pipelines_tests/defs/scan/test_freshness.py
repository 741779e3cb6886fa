"""Missed scans are red by themselves: the window; deploy/test_processes.py has what a real daemon makes of it."""

from datetime import timedelta

import pytest
from dagster import AssetKey, FreshnessPolicy

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.scan.freshness import stale_after
from alert_pipelines.settings import read_settings

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
