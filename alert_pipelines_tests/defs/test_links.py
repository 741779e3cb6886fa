"""The links of a scan's events to the Launchpad."""

import re

from alert_pipelines.defs.links import decided_alerts
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location

OWN = Location("alert_pipelines", "__repository__")
JOB_ID = "JOB-20261130-023047-67924cf7"
HIDDEN_FROM = 1_000


def leads(*alert_ids: str) -> str:
    return str(decided_alerts(OWN, Names(prefix=""), JOB_ID, alert_ids).value)


def linked(markdown: str) -> list[str]:
    return re.findall(r"\[([^]]+)\]\(/locations/alert_pipelines/jobs/", markdown)


def test_with_two_samples_the_ui_hid_the_link_to_undo_behind_a_click() -> None:
    shown = leads(*(f"WEEK-20261130-1-0000{n}" for n in range(9)))
    assert len(shown) < HIDDEN_FROM
    assert linked(shown) == ["Undo", "WEEK-20261130-1-00000", "WEEK-20261130-1-00001", "All alerts"]


def test_an_id_that_has_no_room_leaves_the_other_links_in_sight() -> None:
    shown = leads("A" * HIDDEN_FROM)
    assert len(shown) < HIDDEN_FROM
    assert linked(shown) == ["Undo", "All alerts"]
