"""The screens of README, as a person goes through them in the Dagster UI, without any network but this host's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from alert_pipelines import scheduler
from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.links import CODE_LOCATION
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.mongo.client import server_now
from alert_pipelines_tests.browser import steps
from alert_pipelines_tests.dagster_processes import RunningDagster
from alert_pipelines_tests.factories import alert, rule
from alert_pipelines_tests.patience import wait_until

pytestmark = [pytest.mark.process, pytest.mark.needs("chromium")]

# The texts of the cells that are drawn with more lines than they have.
LINES_MORE_THAN_WRITTEN = """cells => cells.filter(cell => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    const tops = [...range.getClientRects()].filter(line => line.width > 0).map(line => line.top).sort((a, b) => a - b);
    const lines = tops.filter((top, index) => index === 0 || top - tops[index - 1] > 5);
    return lines.length > cell.textContent.split("\\n").length;
}).map(cell => cell.textContent)"""

PAST = {
    "from_status": "OPEN",
    "to_status": "ESCALATED",
    "timestamp": datetime(2026, 3, 1, 12, tzinfo=UTC),
    "reason": "safety: 2 or more pending alerts of the same metadata.driver_id within 1440 minutes",
    "triggered_by": "system",
    "rule_triggered": "safety",
    "job_id": "JOB-20260301-120000-73aaa134",
    "run_id": "b9b01d81-c6af-45c8-9657-344d44494a37",
}

PLOTTED = ("pending", "closed", "escalated", "errors", "duration_s", "oldest_pending_days")


@contextmanager
def trial_rule(db: AlertDatabase, conditions: dict[str, Any], alerts: int = 0) -> Iterator[None]:
    """A rule `on-trial` for a source of its own, with so many alerts that are an hour old; gone afterwards."""
    an_hour_ago = server_now(db) - timedelta(hours=1)
    db.rules.insert_one(rule("on-trial", conditions, source_type="TRIAL"))
    for _ in range(alerts):
        db.alerts.insert_one(alert(timestamp=an_hour_ago, source_type="TRIAL"))
    try:
        yield
    finally:
        db.rules.delete_one({"rule_id": "on-trial"})
        db.alerts.delete_many({"source_type": "TRIAL"})


def last_record(db: AlertDatabase, run_id: str) -> dict[str, Any]:
    record = db.background_jobs.find_one({"run_id": run_id})
    assert record is not None
    return record


@pytest.mark.proof
def test_lineage_is_drawn_with_our_groups_and_the_assets_of_each(page: Page) -> None:
    assets_of: dict[str, list[str]] = {}
    for spec in build_defs().resolve_all_asset_specs():
        assets_of.setdefault(str(spec.group_name), []).append(spec.key.to_user_string())
    page.goto("/asset-groups")
    for group in assets_of:
        expect(page.locator(f"[data-tooltip='{group}']").first).to_be_visible()
    for group, assets in assets_of.items():
        page.goto(f"/locations/{CODE_LOCATION}/asset-groups/{group}/lineage")
        for asset in assets:
            expect(page.get_by_text(asset, exact=True).first).to_be_visible()


def test_a_scan_launched_from_the_launchpad_finishes_and_shows_its_tables_and_plots(
    page: Page, week: AlertDatabase
) -> None:
    # Of the week an earlier test may have decided all.
    with trial_rule(week, {"auto_close_if": "done", "escalate_after_mins": 30}, alerts=3):
        week.alerts.update_one({"source_type": "TRIAL"}, {"$set": {"metadata.done": True}})
        steps.open_launchpad(page, "auto_close_job")
        run_id = steps.press_launch(page)
        steps.expect_run_end(page, "RUN_SUCCESS")
        record = last_record(week, run_id)
        for asset, status, of_trial in (("closed_alerts", "AUTO_CLOSED", 1), ("escalated_alerts", "ESCALATED", 2)):
            steps.open_asset(page, asset, "Events")
            expect(page.get_by_role("link", name=run_id[:8]).first).to_be_visible()
            shown = steps.metadata_row(page, "by rule and source").get_by_role("row")
            decided = [{"$match": {"state_history.job_id": record["job_id"], "status": status}}]
            by_source = {"$group": {"_id": "$source_type", "alerts": {"$sum": 1}}}
            found = {one["_id"]: one["alerts"] for one in week.alerts.aggregate([*decided, by_source])}
            assert found["TRIAL"] == of_trial
            for source, alerts in found.items():
                counts = shown.filter(has_text=source).locator("td:last-child")
                expect(counts.first).to_be_visible()
                assert sum(map(int, counts.all_inner_texts())) == alerts, source
    steps.open_asset(page, "background_jobs", "Overview")
    page.get_by_role("button", name="Plots").click()
    for name in PLOTTED:
        plot = page.locator(f"xpath=//*[span[text()='{name}']]/following-sibling::*//canvas")
        expect(plot).to_be_visible()


def test_a_dry_run_from_the_launchpad_shows_its_tables_and_writes_nothing(page: Page, week: AlertDatabase) -> None:
    with trial_rule(week, {"expire_after_mins": 30}, alerts=3):
        steps.open_launchpad(page, "dry_run_job")
        run_id = steps.press_launch(page)
        steps.expect_run_end(page, "RUN_SUCCESS")
        steps.open_asset(page, "dry_runs", "Events")
        job_id = last_record(week, run_id)["job_id"]
        expect(steps.metadata_row(page, "job_id")).to_contain_text(job_id)
        of_rule = steps.metadata_row(page, "by rule and source").get_by_role("row").filter(has_text="on-trial")
        expect(of_rule).to_have_text("on-trialTRIALclose3")
        samples = steps.metadata_row(page, "samples").get_by_role("row").filter(has_text="on-trial")
        expect(samples.first).to_contain_text("timestamp is 30 minutes old or more")
        assert week.alerts.count_documents({"state_history.job_id": job_id}) == 0


def test_a_rule_that_cannot_be_read_is_named_by_its_failed_check(page: Page, week: AlertDatabase) -> None:
    with trial_rule(week, {"expire_after_mins": "soon"}):
        steps.open_launchpad(page, "auto_close_job")
        steps.press_launch(page)
        steps.expect_run_end(page, "RUN_SUCCESS")
        steps.open_asset(page, "alert_rules", "Checks")
        page.get_by_text("rules_valid", exact=True).first.click()
        expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
        expect(page.get_by_text("rule 'on-trial': conditions.expire_after_mins")).to_be_visible()


def test_a_changed_rule_is_previewed_from_the_launchpad_with_its_text_inline(page: Page, week: AlertDatabase) -> None:
    changed = rule("on-trial", {"expire_after_mins": 30}, source_type="TRIAL")
    with trial_rule(week, {"expire_after_mins": 120}, alerts=3):
        pasted = yaml.safe_dump({"rules": [{name: changed[name] for name in ("rule_id", "source_type", "conditions")}]})
        steps.open_launchpad(page, "preview_rules_job")
        steps.launch_with(page, "preview", rules=pasted)
        steps.expect_run_end(page, "RUN_SUCCESS")
        steps.open_asset(page, "dry_runs", "Events")
        differing = steps.metadata_row(page, "more and fewer than by the rules in force").get_by_role("row")
        expect(differing.filter(has_text="on-trial")).to_have_text("morecloseon-trialTRIALOPEN3")
        assert week.alerts.count_documents({"source_type": "TRIAL", "status": "OPEN"}) == 3
        kept = week.rules.find_one({"rule_id": "on-trial"})
        assert kept is not None
        assert kept["conditions"] == {"expire_after_mins": 120}


def test_an_hourly_verdict_was_not_evaluated_any_more_from_the_next_scan_on_and_green_after_one_of_an_empty_database(
    page: Page, week: AlertDatabase, dagster: RunningDagster
) -> None:
    unknown, elsewhere = alert(source_type="TRIAL", status="ACKNOWLEDGED"), f"{week.name}_empty"
    week.alerts.insert_one(unknown)
    try:
        steps.open_launchpad(page, "check_health_job")
        steps.press_launch(page)
        steps.expect_run_end(page, "RUN_SUCCESS")
        config = {"resources": {"mongo": {"config": {"database": elsewhere}}}}
        dagster.wait_for_success(dagster.launch(run_config=config))
    finally:
        week.alerts.delete_one({"alert_id": unknown["alert_id"]})
        week.client.drop_database(elsewhere)
    steps.open_asset(page, "closed_alerts", "Events")
    expect(steps.metadata_row(page, "database")).to_contain_text(elsewhere)
    steps.open_asset(page, "health", "Checks")
    page.get_by_text("known_statuses", exact=True).first.click()
    expect(page.get_by_text("ACKNOWLEDGED").first).to_be_visible()
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text(week.name, exact=True).first).to_be_visible()


def test_a_limit_that_stops_a_rule_is_a_red_run_that_says_what_to_do(page: Page, week: AlertDatabase) -> None:
    with trial_rule(week, {"expire_after_mins": 30, "max_close": 2}, alerts=3):
        steps.open_launchpad(page, "auto_close_job")
        steps.press_launch(page)
        steps.expect_run_end(page, "RUN_FAILURE")
        stop = "rule 'on-trial' would close 3 alerts, more than its limit of 2"
        expect(page.get_by_text(stop).first).to_be_visible()
        # Twice it stood below the message, of the step and of the run.
        expect(page.get_by_text("Stack Trace")).to_have_count(0)
        steps.open_asset(page, "closed_alerts", "Checks")
        page.get_by_text("within_limits", exact=True).first.click()
        expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
        expect(page.get_by_text(stop).first).to_be_visible()
        # From what shows the need to the run it takes three clicks: the last says yes.
        config = steps.follow_to_launchpad(page, page.get_by_role("link", name="Allow once"), "auto_close")
        assert config == {"allow_over_limit": ["on-trial"], "confirm": False}
        # All is written again: a double click on one word was none on a busy machine.
        run_id = steps.launch_with(page, "auto_close", **config | {"confirm": True})
        steps.expect_run_end(page, "RUN_SUCCESS")
        # From what was closed to its undo it takes two.
        steps.open_asset(page, "closed_alerts", "Events")
        undo = steps.metadata_row(page, "undo or explain").get_by_role("link", name="Undo")
        assert steps.follow_to_launchpad(page, undo, "undo") == {"job_id": last_record(week, run_id)["job_id"]}
        steps.press_launch(page)
        steps.expect_run_end(page, "RUN_SUCCESS")


def test_the_page_of_an_explanation_squeezed_its_columns_and_broke_dates_and_words(
    page: Page, week: AlertDatabase
) -> None:
    with trial_rule(week, {"expire_after_mins": 30}, alerts=1):
        one = week.alerts.find_one_and_update({"source_type": "TRIAL"}, {"$set": {"state_history": [PAST]}})
        assert one is not None
        steps.open_launchpad(page, "explain_alert_job")
        steps.launch_with(page, "explain", alert_id=one["alert_id"])
        steps.expect_run_end(page, "RUN_SUCCESS")
        words = page.get_by_text("would close it").first
        expect(words).to_be_visible()
        expect(words).to_contain_text("rule 'on-trial' would close it: timestamp is 30 minutes old or more")
        for name in ("decided before", "clauses and tests"):
            row = steps.metadata_row(page, name)
            expect(row).to_be_visible()
            assert row.locator("table td").evaluate_all(LINES_MORE_THAN_WRITTEN) == []


def test_the_schedule_is_switched_off_and_on_in_automation(page: Page, dagster: RunningDagster) -> None:
    switch = steps.schedule_switch(page, "auto_close_schedule")
    expect(switch).to_be_checked()

    def is_switched(*, on: bool) -> bool:
        return scheduler.is_scheduler_running(dagster.instance) is on

    for on in (False, True):
        dagster.wait_between_rounds()
        # The box itself is hidden; what is pressed is its label, which is drawn as a switch.
        switch.locator("xpath=..").click()
        wait_until(partial(is_switched, on=on), f"the schedule on={on}")
        page.reload()
        expect(switch).to_be_checked(checked=on)
