"""A Chromium, a real `dagster dev` on the sample week and the default rules, and what is kept of a test that fails."""

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.browser import chromium
from alert_pipelines_tests.browser.chromium import Visit
from alert_pipelines_tests.browser.dev import dagster_dev
from alert_pipelines_tests.browser.week import sample_week
from alert_pipelines_tests.dagster_processes import RunningDagster

# The schedule is on, and has no tick while a test looks.
ONCE_A_YEAR = "0 0 1 1 *"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        launched = chromium.launch(playwright)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def week(mongo_uri: str) -> Iterator[AlertDatabase]:
    """A database with what the demo loads."""
    with sample_week(mongo_uri) as made:
        yield made


@pytest.fixture(scope="module")
def dagster(browser: Browser, mongo_uri: str, week: AlertDatabase) -> Iterator[RunningDagster]:
    """What `scripts/dev` starts, on that database. It asks for the browser first: without one nothing is started."""
    settings = {"MONGODB_URI": mongo_uri, "MONGODB_DATABASE": week.name, "AUTO_CLOSE_CRON": ONCE_A_YEAR}
    with dagster_dev(settings) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, dagster: RunningDagster) -> Iterator[Visit]:
    """A window on the UI; the UI must get by with this host alone."""
    with chromium.visit(browser, dagster.url) as made:
        yield made
        assert made.refused == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """That window's page."""
    return visit.page


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a picture and the HTML of a window whose test failed; a trace would cost all tests a third of their time."""
    report = yield
    visit = getattr(item, "funcargs", {}).get("visit")
    if report.failed and call.when == "call" and isinstance(visit, Visit):
        kept = Path(tempfile.mkdtemp(prefix="alert_pipelines_browser_"))
        visit.page.screenshot(path=kept / "page.png")
        (kept / "page.html").write_text(visit.page.content())
        report.sections.append(("The browser", f"{visit.page.url}\nSee page.png and page.html in {kept}"))
    return report
