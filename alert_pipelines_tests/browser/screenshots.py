"""The pictures of README and docs/screens.md: `scripts/screenshots` makes them, on the demo's data, scanned day by day,
each with the time of its day.

Each picture is a function whose name is the picture's; it goes where a person would go, and stops where they look.
With the pictures goes a list of what each shows; test_pictures.py takes them again and compares the lists, no dots.
"""

import io
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from pymongo import DESCENDING

from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.defs.scan.schedule import AUTO_CLOSE_SCHEDULE
from alert_pipelines.mongo import AlertDatabase, ensure_local_mongod, stop_local_mongod
from alert_pipelines.mongo.client import server_now
from alert_pipelines.rules.files import default_rules
from alert_pipelines_tests.browser import chromium, steps
from alert_pipelines_tests.browser.dev import dagster_dev
from alert_pipelines_tests.browser.week import sample_week
from alert_pipelines_tests.dagster_processes import RunningDagster

# What differs from week to week, each with what stands for it.
_VARIES = {r"JOB-[\w-]+": "JOB", r"\b[0-9a-f]{12}\b": "VERSION"}
_OF_DAGSTER_S_LOG = {"pid", "step_keys", "captured_logs"}

Shown: TypeAlias = dict[str, list[str]]
Picture: TypeAlias = Callable[[Page, AlertDatabase], None]

WEEK = (6, 5, 4, 3, 2, 1, 0.4)
"""How many days ago the scans were, but for the last one, which is of now."""
DATABASE = "alert_pipelines_demo"
COLOURS = 128
"""A screen has few: so many are enough, at a third of the bytes."""
SHOWN = "pictures.json"
"""By picture, what it shows: the columns of the page's tables, the labels beside them, the names in sight."""

# Names are those of assets, jobs, schedules, sensors, fields. Dagster puts marks of no width where a line may break.
_WHAT_IT_SHOWS = r"""() => {
    const plain = element => (element.innerText ?? "").replaceAll("\u200b", "").trim();
    const drawn = element => element.getClientRects().length > 0;
    const inSight = element => {
        const box = element.getBoundingClientRect();
        return box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    };
    const all = selector => [...document.querySelectorAll(selector)].filter(drawn);
    const outermost = cell => !cell.closest("table").parentElement.closest("table");
    const unique = texts => [...new Set(texts)].sort();
    return {
        columns: unique(all("th").map(plain)),
        labels: unique(all("td:first-child").filter(outermost).map(plain)),
        names: unique(all("body *").filter(element => !element.children.length && inSight(element)).map(plain)
            .filter(text => /^[a-z]+(_[a-z]+)+$/.test(text))),
    };
}"""


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
    expect(steps.metadata_row(page, "closed")).to_have_text(re.compile(r"^closed\s*[1-9]\d*$"))


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
    expect(page.get_by_text("These alerts could not be processed")).to_be_visible()


def launchpad(page: Page, _: AlertDatabase) -> None:
    """A dry run, about to be launched."""
    steps.open_launchpad(page, "dry_run_job")
    expect(page.get_by_text("No errors")).to_be_visible()
    expect(page.get_by_text("Checking config")).to_be_hidden()


def dry_run(page: Page, _: AlertDatabase) -> None:
    """What a scan would have done, with samples and their reasons."""
    launchpad(page, _)
    steps.press_launch(page)
    steps.expect_run_end(page, "RUN_SUCCESS")
    steps.open_asset(page, "dry_runs", "Events")
    expect(steps.metadata_row(page, "would close")).to_be_visible()


def explanation(page: Page, week: AlertDatabase) -> None:
    """Why an alert was decided as it was."""
    # The newest: alerts of its key that count as evidence are still pending.
    newest = [("timestamp", DESCENDING)]
    escalated = week.alerts.find_one({"source_type": "SAFETY", "status": "ESCALATED"}, sort=newest)
    assert escalated is not None
    steps.open_launchpad(page, "explain_alert_job")
    steps.launch_with(page, "explain", alert_id=escalated["alert_id"])
    steps.expect_run_end(page, "RUN_SUCCESS")
    expect(page.get_by_text("by rule").first).to_be_visible()


def today(page: Page, _: AlertDatabase) -> None:
    """What was done today, what is pending, and what comes next."""
    steps.open_launchpad(page, "overview_job")
    steps.press_launch(page)
    steps.expect_run_end(page, "RUN_SUCCESS")
    steps.open_asset(page, "today", "Events")
    expect(steps.metadata_row(page, "in short")).to_contain_text(
        re.compile(
            r"Today, since midnight UTC: closed [1-9][\d,]*, escalated \d.* Pending: [1-9][\d,]*\. In the next 24 hours"
        )
    )


def rules(page: Page, _: AlertDatabase) -> None:
    """Each rule in a sentence."""
    steps.open_asset(page, "rules_overview", "Events")
    expect(steps.metadata_row(page, "rules")).to_be_visible()


def automation(page: Page, _: AlertDatabase) -> None:
    """When scans are made, and the switch."""
    steps.press_schedule_switch(page, AUTO_CLOSE_SCHEDULE, on=True)


# A dry run finds nothing after a scan, so some pictures are taken before the last scan.
BEFORE = (launchpad, dry_run)
# The rules' page is made by the run that makes that of today. The lineage comes after all that it shows, and the switch
# of the schedule last: it is off until then, since a scan of the schedule's would be the newest, and find nothing.
AFTER = (closed_alerts, trends, check, explanation, today, rules, lineage, automation)


def main(directory: Path) -> None:
    """Make all pictures in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as local:
        uri = ensure_local_mongod(Path(local))
        try:
            take_all(uri, directory)
        finally:
            stop_local_mongod(Path(local))


def take_all(uri: str, directory: Path, days: Sequence[float] = WEEK) -> None:
    """Make all pictures and the list of what they show, on the server of `uri`: of scans of `days` ago and of now."""
    with sample_week(uri, DATABASE) as week, sync_playwright() as playwright:
        settings = {"MONGODB_URI": uri, "MONGODB_DATABASE": week.name}
        browser = chromium.launch(playwright)
        with dagster_dev(settings) as dev, chromium.visit(browser, dev.url) as visit:
            dev.wait_between_rounds()
            steps.press_schedule_switch(visit.page, AUTO_CLOSE_SCHEDULE, on=False)
            for ago in days:
                _scan(dev, week, ago)
            shown = _take(visit.page, week, directory, BEFORE)
            _scan(dev, week, 0)
            shown |= _take(visit.page, week, directory, AFTER)
    (directory / SHOWN).write_text(json.dumps(shown, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _take(page: Page, week: AlertDatabase, directory: Path, pictures: Iterable[Picture]) -> dict[str, Shown]:
    shown = {}
    for picture in pictures:
        page.set_viewport_size(chromium.SIZE)
        picture(page, week)
        # For what is still being drawn: plots grow, and dialogs fade in.
        page.wait_for_timeout(1_000)
        name = f"{picture.__name__.replace('_', '-')}.png"
        _save(page.screenshot(), directory / name)
        shown[name] = _same_each_week(
            page.evaluate(_WHAT_IT_SHOWS), {rule.rule_id for rule in default_rules()} | {"expires_at"}
        )
    return shown


def _same_each_week(shown: Shown, rule_ids: set[str]) -> Shown:
    """`shown` without ids, and without the rules, of which other ones are in sight each time."""

    def without_ids(text: str) -> str:
        return reduce(lambda so_far, varies: re.sub(varies, _VARIES[varies], so_far), _VARIES, text)

    left_out = _OF_DAGSTER_S_LOG | rule_ids
    return {what: sorted({without_ids(text) for text in texts} - left_out) for what, texts in shown.items()}


def _scan(dev: RunningDagster, week: AlertDatabase, days: float) -> None:
    """A scan of `days` ago: each closes and escalates a day's share, at the time of then, as if always at work."""
    as_of = server_now(week) - timedelta(days=days)
    run_id = dev.launch(run_config={"ops": {"auto_close": {"config": {"as_of": as_of.isoformat()}}}})
    dev.wait_for_success(run_id)
    records = list(week.background_jobs.find())
    scan = next((record for record in records if record.get("run_id") == run_id and record.get("alerts_closed")), None)
    assert scan, f"Nothing to look at after run {run_id}: {records}"
    if days:
        _move_back(week, scan, as_of)


def _move_back(week: AlertDatabase, scan: Mapping[str, Any], then: datetime) -> None:
    """Give a scan, by its record, and what it decided the time `then`: the pages tell the days apart by it."""
    job_id, took = scan["job_id"], scan["completed_at"] - scan["started_at"]
    week.background_jobs.update_one({"job_id": job_id}, {"$set": {"started_at": then, "completed_at": then + took}})
    moved = {"$mergeObjects": ["$$entry", {"timestamp": then}]}
    entry = {"$cond": [{"$eq": ["$$entry.job_id", job_id]}, moved, "$$entry"]}
    history = {"$map": {"input": "$state_history", "as": "entry", "in": entry}}
    for status, decided_at in (("AUTO_CLOSED", "closed_at"), ("ESCALATED", "escalated_at")):
        week.alerts.update_many(
            {"state_history.job_id": job_id, "status": status},
            [{"$set": {"state_history": history, decided_at: then, "updated_at": then}}],
        )


def _save(png: bytes, path: Path) -> None:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    # The default method would turn the few dots of red and amber grey, and they are what people look for.
    few = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
