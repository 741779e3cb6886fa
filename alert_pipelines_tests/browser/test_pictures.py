"""The pictures of the docs are those of the pages today: taken again by the same code, they show the same."""

import json
import re
import uuid
from pathlib import Path

import pytest
from PIL import Image

from alert_pipelines_tests.browser import chromium
from alert_pipelines_tests.browser.screenshots import SHOWN, take_all
from alert_pipelines_tests.browser.week import sample_week
from alert_pipelines_tests.dagster_processes import CHECKOUT

IMAGES = CHECKOUT / "docs" / "images"
COMMITTED = sorted(IMAGES.glob("*.png"))


def test_each_picture_of_the_docs_is_there_and_of_one_screen_and_none_is_left_over() -> None:
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"\(\S*images/([\w-]+\.png)\)", page.read_text())}
    assert named == {picture.name for picture in COMMITTED}
    for picture in COMMITTED:
        with Image.open(picture) as opened:
            assert opened.size == (chromium.SIZE["width"], chromium.SIZE["height"]), picture.name


def test_the_pictures_began_with_the_week_of_a_demo_that_had_closed_all_of_it(mongo_uri: str) -> None:
    with sample_week(mongo_uri, f"test_{uuid.uuid4().hex}") as demo:
        alerts = demo.alerts.count_documents({})
        demo.alerts.update_many({}, {"$set": {"status": "AUTO_CLOSED"}})
        demo.background_jobs.insert_one({"job_id": "JOB-OF-THE-DEMO"})
        with sample_week(mongo_uri, demo.name) as week:
            assert week.alerts.count_documents({"status": {"$ne": "AUTO_CLOSED"}}) == alerts
            assert week.background_jobs.count_documents({}) == 0


@pytest.mark.process
@pytest.mark.needs("chromium")
def test_a_page_that_changed_left_its_picture_in_the_docs_as_it_was(mongo_uri: str, tmp_path: Path) -> None:
    take_all(mongo_uri, tmp_path, days=[1])
    assert [picture.name for picture in sorted(tmp_path.glob("*.png"))] == [picture.name for picture in COMMITTED]
    then, now = (json.loads((place / SHOWN).read_text()) for place in (IMAGES, tmp_path))
    changed = {
        f"{name}: {what}": {
            "gone": sorted(set(texts) - set(now[name][what])),
            "new": sorted(set(now[name][what]) - set(texts)),
        }
        for name, shown in then.items()
        for what, texts in shown.items()
        if texts != now[name][what]
    }
    assert changed == {}, "Look at these pages, and run scripts/screenshots."
