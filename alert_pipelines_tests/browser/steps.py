"""The ways through the UI that tests and screenshots share, each as docs/screens.md tells it."""

import json
import re
from typing import Any

import yaml
from playwright.sync_api import Locator, Page, Request, Response, expect

from alert_pipelines.defs.links import CODE_LOCATION

_RUN = re.compile(r"/runs/([0-9a-f-]{36})")
_EDITOR = ".CodeMirror.cm-s-config-editor"


def open_launchpad(page: Page, job: str) -> None:
    """Open the job's Launchpad. A job of assets has it behind the arrow beside **Materialize**, or its **all**."""
    page.goto(f"/locations/{CODE_LOCATION}/jobs/{job}")
    tab, editor = page.get_by_role("tab", name="Launchpad"), page.locator(_EDITOR)
    materialize = page.get_by_role("button", name=re.compile("Materialize( all)?$")).first
    expect(tab.or_(materialize).first).to_be_visible()
    # Once what stands there is checked, the defaults have come; they would replace what was written before.
    with page.expect_response(_is_check):
        if materialize.is_visible():
            materialize.locator("xpath=following::button[1]").click()
            page.get_by_role("menuitem", name="Open launchpad").click()
            # Before the first scan Dagster asks: the assets that a scan materializes are upstream of others.
            confirm = page.get_by_role("button", name="Confirm")
            expect(confirm.or_(editor).first).to_be_visible()
            if confirm.is_visible():
                confirm.click()
        else:
            tab.click()
    expect(editor).to_be_visible()


def follow_to_launchpad(page: Page, link: Locator, op: str) -> dict[str, Any]:
    """Follow a link that opens the Launchpad filled in; return the config of the op that it holds."""
    with page.expect_response(_is_check) as check:
        link.click()
    expect(page.get_by_text("No errors")).to_be_visible()
    config: dict[str, Any] = yaml.safe_load(_checked(check.value))["ops"][op]["config"]
    return config


def _fill(page: Page, op: str, **config: Any) -> None:
    """Write the op's config in place of all that stands there; return when the page holds it, and no other."""
    document = yaml.safe_dump({"ops": {op: {"config": config}}})
    with page.expect_response(lambda answer: _is_check(answer) and _checked(answer) == document.strip()):
        page.locator(_EDITOR).click()
        page.keyboard.press("ControlOrMeta+A")
        # Inserted, not typed: the editor would indent by itself what follows a typed line's end.
        page.keyboard.insert_text(document)
    expect(page.get_by_text("No errors")).to_be_visible()


def _is_check(answer: Response) -> bool:
    """Whether the Launchpad asked whether what it holds is valid."""
    return '"operationName":"PreviewConfigQuery"' in (answer.request.post_data or "")


def _is_launch(request: Request) -> bool:
    return '"operationName":"LaunchPipelineExecution"' in (request.post_data or "")


def _checked(answer: Response) -> str:
    return str(_variables(answer.request)["runConfigData"])


def _variables(request: Request) -> dict[str, Any]:
    variables: dict[str, Any] = json.loads(request.post_data or "{}")["variables"]
    return variables


def press_launch(page: Page) -> str:
    """Launch what the Launchpad holds; the run's page opens. Returns the run's id."""
    page.get_by_role("button", name=re.compile(r"(Materialize|Launch Run)$")).last.click()
    page.wait_for_url(_RUN)
    found = _RUN.search(page.url)
    assert found, page.url
    return found[1]


def launch_with(page: Page, op: str, **config: Any) -> str:
    """Launch what is open in the Launchpad with this config of its op; return the run's id."""
    _fill(page, op, **config)
    with page.expect_request(_is_launch) as sent:
        run_id = press_launch(page)
    launched = yaml.safe_load(_variables(sent.value)["executionParams"]["runConfigData"])
    assert launched == {"ops": {op: {"config": config}}}, "The page launched another config than the one it held."
    return run_id


def expect_run_end(page: Page, event: str) -> None:
    """Wait until the run's page that is open shows its last event, RUN_SUCCESS or RUN_FAILURE."""
    expect(page.get_by_text(event, exact=True)).to_be_visible()


def open_asset(page: Page, asset: str, tab: str) -> None:
    """Open the asset's page at the tab `tab`: Overview, Events, Checks, Lineage."""
    page.goto(f"/assets/{asset}")
    page.get_by_role("tab", name=tab).click()


def metadata_row(page: Page, name: str) -> Locator:
    """The row of the metadata's table that is called `name`, tables within it included."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True)).first


def schedule_switch(page: Page, schedule: str) -> Locator:
    """The switch of `schedule` on the page Automation; it is a checkbox."""
    page.goto("/automation")
    # The page has no roles for its rows: the row is what first holds both the name and a switch. Until its own switch
    # is drawn that is the whole list, with other names in it.
    switch, name = "label[contains(@class, 'Switch')]", "*[text()[contains(., '_schedule') or contains(., '_sensor')]]"
    of_row = f"xpath=ancestor::*[.//{switch}][1][count(.//{name})=1]//{switch}//input"
    return page.get_by_text(schedule, exact=True).first.locator(of_row)


def press_schedule_switch(page: Page, schedule: str, *, on: bool) -> None:
    """Switch `schedule` on or off on the page Automation."""
    switch = schedule_switch(page, schedule)
    expect(switch).to_be_checked(checked=not on)
    # The box itself is hidden; what is pressed is its label, which is drawn as a switch.
    switch.locator("xpath=..").click()
    expect(switch).to_be_checked(checked=on)
