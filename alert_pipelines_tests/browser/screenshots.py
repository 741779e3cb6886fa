"""The pictures of README and docs/screens.md: `scripts/screenshots` makes them, on the demo's data, scanned day by day.

Each picture is a function whose name is the picture's; it goes where a person would go, and stops where they look.
"""

import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from alert_pipelines.mongo import AlertDatabase, ensure_local_mongod, stop_local_mongod
from alert_pipelines.mongo.client import server_now
from alert_pipelines.scheduler import CODE_LOCATION
from alert_pipelines_tests.browser import chromium, steps
from alert_pipelines_tests.browser.dev import dagster_dev
from alert_pipelines_tests.browser.week import sample_week

Picture: TypeAlias = Callable[[Page, AlertDatabase], None]

DAYS = 6
DATABASE = "alert_pipelines_demo"
COLOURS = 128
"""A screen has few: so many are enough, at a third of the bytes."""


def lineage(page: Page, _: AlertDatabase) -> None:
    """What comes from what, and whether something is red."""
    steps.open_launchpad(page, "check_health_job")
    steps.press_launch(page)
    steps.expect_run_end(page, "RUN_SUCCESS")
    page.goto(f"/locations/{CODE_LOCATION}/asset-groups/auto_close/lineage")
    expect(page.get_by_text("background_jobs", exact=True).first).to_be_visible()
    expect(page.get_by_text("Materialized").first).to_be_visible()
    expect(page.get_by_text(re.compile("^Loading"))).to_have_count(0)


def closed_alerts(page: Page, _: AlertDatabase) -> None:
    """What the last scan closed, and by which rule."""
    steps.open_asset(page, "closed_alerts", "Events")
    expect(steps.metadata_row(page, "by rule and source")).to_be_visible()


def trends(page: Page, _: AlertDatabase) -> None:
    """How the numbers go, scan by scan."""
    steps.open_asset(page, "background_jobs", "Overview")
    plots = page.get_by_role("button", name="Plots")
    plots.click()
    expect(page.locator("canvas").first).to_be_visible()
    plots.evaluate("button => button.scrollIntoView()")


def check(page: Page, _: AlertDatabase) -> None:
    """What is wrong, with which alerts, and what to do."""
    steps.open_asset(page, "background_jobs", "Checks")
    page.get_by_text("no_alert_errors", exact=True).first.click()
    expect(page.get_by_text("These could not be handled")).to_be_visible()


def launchpad(page: Page, _: AlertDatabase) -> None:
    """A dry run, about to be launched."""
    steps.open_launchpad(page, "dry_run_job")


def dry_run(page: Page, _: AlertDatabase) -> None:
    """What a scan would have done, with samples and their reasons."""
    launchpad(page, _)
    steps.press_launch(page)
    steps.expect_run_end(page, "RUN_SUCCESS")
    steps.open_asset(page, "dry_runs", "Events")
    expect(steps.metadata_row(page, "would close")).to_be_visible()


def explanation(page: Page, week: AlertDatabase) -> None:
    """Why an alert was decided as it was."""
    escalated = week.alerts.find_one({"source_type": "SAFETY", "status": "ESCALATED"})
    assert escalated is not None
    steps.launch(page, "explain_alert_job", "explain", alert_id=escalated["alert_id"])
    steps.expect_run_end(page, "RUN_SUCCESS")
    expect(page.get_by_text("by rule").first).to_be_visible()


def today(page: Page, _: AlertDatabase) -> None:
    """What was done today, what is pending, and what comes next."""
    steps.open_launchpad(page, "overview_job")
    steps.press_launch(page)
    steps.expect_run_end(page, "RUN_SUCCESS")
    steps.open_asset(page, "today", "Events")
    expect(steps.metadata_row(page, "in short")).to_be_visible()


def rules(page: Page, _: AlertDatabase) -> None:
    """Each rule in a sentence."""
    steps.open_asset(page, "rules_overview", "Events")
    expect(steps.metadata_row(page, "rules")).to_be_visible()


def automation(page: Page, _: AlertDatabase) -> None:
    """When scans are made, and the switch."""
    expect(steps.schedule_switch(page, "auto_close_schedule")).to_be_checked()


# A dry run finds nothing after a scan, so some pictures are taken before the last scan.
BEFORE = (launchpad, dry_run)
# The rules' page is made by the run that makes that of today. The lineage comes last, so that it shows all of them.
AFTER = (closed_alerts, trends, check, automation, explanation, today, rules, lineage)


def main(directory: Path) -> None:
    """Make all pictures in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as local:
        uri = ensure_local_mongod(Path(local))
        try:
            _take_all(uri, directory)
        finally:
            stop_local_mongod(Path(local))


def _take_all(uri: str, directory: Path) -> None:
    with sample_week(uri, DATABASE) as week, sync_playwright() as playwright:
        settings = {"MONGODB_URI": uri, "MONGODB_DATABASE": week.name}
        browser = chromium.launch(playwright)
        with dagster_dev(settings) as dev, chromium.visit(browser, dev.url) as visit:
            for days in range(DAYS, 0, -1):
                _scan(visit.page, week, days)
            _take(visit.page, week, directory, BEFORE)
            _scan(visit.page, week, 0)
            _take(visit.page, week, directory, AFTER)


def _take(page: Page, week: AlertDatabase, directory: Path, pictures: Iterable[Picture]) -> None:
    for picture in pictures:
        page.set_viewport_size(chromium.SIZE)
        picture(page, week)
        # For what is still being drawn: plots grow, and dialogs fade in.
        page.wait_for_timeout(1_000)
        _save(page.screenshot(), directory / f"{picture.__name__.replace('_', '-')}.png")


def _scan(page: Page, week: AlertDatabase, days: int) -> None:
    """A scan as it was so many days ago: each closes and escalates a day's share, as if it had always been at work."""
    as_of = server_now(week) - timedelta(days=days)
    steps.launch(page, "auto_close_job", "auto_close", as_of=as_of.isoformat())
    steps.expect_run_end(page, "RUN_SUCCESS")


def _save(png: bytes, path: Path) -> None:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    # The default method would turn the few dots of red and amber grey, and they are what people look for.
    few = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
