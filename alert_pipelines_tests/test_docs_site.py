"""The docs: the site builds without a warning and asks for nothing from elsewhere; all links lead somewhere."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.patience import LIMIT_S

PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
CANARY = "must-not-be-published"

_CODE = re.compile(r"^( *)```.*?^\1```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_FROM_ELSEWHERE = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["'](?:https?:)?//|(?:@import|url\()\s*["']?(?:https?:)?//"""
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [str(CHECKOUT / "scripts" / "docs"), str(directory)],
        env={**os.environ, "https_proxy": nowhere, "http_proxy": nowhere, "SOME_SECRET": CANARY},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


def anchors(page: Path) -> set[str]:
    """The fragments that lead into a page, made of its headings as the host and Sphinx both do."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub(lambda found: found[0].strip("`"), page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_page_and_no_message_installs_the_package_from_an_index_that_does_not_have_it() -> None:
    said = [*CHECKOUT.glob("docs/*.md"), CHECKOUT / "README.md", *CHECKOUT.glob("alert_pipelines/**/*.py")]
    assert [path.name for path in said if "alert-pipelines[" in path.read_text()] == []


@pytest.mark.slow
def test_the_site_holds_every_page(site: Path) -> None:
    for page in PAGES[1:]:
        assert (site / f"{page.stem}.html").is_file(), page


@pytest.mark.slow
def test_the_site_asks_for_nothing_from_elsewhere(site: Path) -> None:
    for file in [*site.glob("*.html"), *site.rglob("*.css")]:
        text = file.read_text(errors="replace")
        assert not _FROM_ELSEWHERE.findall(text), file


@pytest.mark.slow
def test_the_reference_is_the_code_s_own(site: Path) -> None:
    api = (site / "api.html").read_text()
    for name in (
        *("auto_close_scanner", "evaluate_all_pending_alerts", "create_job_record", "update_job_record"),
        *("get_recent_jobs", "start_scheduler", "undo_job", "explain_alert", "backtest_day"),
    ):
        assert f'.{name}">' in api, name
    assert "escalate_if_count" in (site / "rule-schema.html").read_text()
    assert "AUTO_CLOSE_MAX_FRACTION" in (site / "settings.html").read_text()


@pytest.mark.slow
def test_nothing_of_the_build_s_environment_is_published(site: Path) -> None:
    for file in site.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(_CODE.sub("", page.read_text())) if "://" not in link]
    for link in links:
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\(docs/([\w-]+)\.md", PAGES[0].read_text()))
    # These are the site's own: its start, and what is generated.
    assert linked >= {page.stem for page in PAGES[1:]} - {"index", "rule-schema", "api", "changelog"}
