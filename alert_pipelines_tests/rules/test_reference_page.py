"""The examples of the reference page are rules, and mean what they say."""

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.compiler import compile_rule
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.rules.validation import parse_rule
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
DOCUMENTS = [yaml.safe_load(block) for block in BLOCKS]


MONTH_AGO = datetime(2026, 1, 30, 12, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(clock: str) -> dict[str, Any]:
    instant = datetime.fromisoformat(f"2026-03-01T{clock}+00:00")
    return {"timestamp": instant, "updated_at": instant}


EXAMPLES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "auto_close_if": (
        [{"metadata": {"document_valid": True}}],
        [{"metadata": {"document_valid": value}} for value in (1, "true", [False])],
    ),
    "working-hours": (
        # The page's today is a Sunday: on Friday the office was open from 8 to 12 and from 13 to 16, on Thursday to 18.
        [{"source_type": "COMPLIANCE", "timestamp": datetime(2026, 2, 26, 16, tzinfo=UTC)}],
        [{"source_type": "COMPLIANCE", "timestamp": datetime(2026, 2, 26, 16, 0, 0, 1_000, tzinfo=UTC)}],
    ),
    "a-list": (
        [at("09:00") | {"source_type": source} for source in ("SAFETY", "OVERSPEEDING")],
        [at("10:00") | {"source_type": source} for source in ("SAFETY", "OVERSPEEDING")],
    ),
    "every-source": (
        [{"source_type": source, "timestamp": MONTH_AGO} for source in ("SAFETY", "FUEL_THEFT")],
        [{"source_type": "FUEL_THEFT"}, {"source_type": None, "timestamp": MONTH_AGO}],
    ),
    "close_if": (
        [{"metadata": {"feedback_rating": value}} for value in (3, 3.5)],
        [{"metadata": {"feedback_rating": 2}}, {"metadata": {"feedback_rating": "4"}}, {"metadata": {}}],
    ),
    "within_mins": (
        [
            {"metadata": {"expiry_date": date}}
            for date in (TOMORROW + timedelta(milliseconds=1), at("11:00")["timestamp"])
        ]
        + [{"metadata": {}}],
        [{"metadata": {"expiry_date": TOMORROW}}],
    ),
    "beyond_mins": (
        [{"metadata": {"expiry_date": TOMORROW + timedelta(milliseconds=1)}}],
        [{"metadata": {"expiry_date": TOMORROW}}],
    ),
    "texts": (
        [{"metadata": {"location": location}} for location in ("Depot 3", "A9 (test)")]
        + [{"metadata": {"feedback_comment": "Thank You!"}}],
        [{"metadata": {"location": location}} for location in ("depot 3", "(test) A9")],
    ),
    "value_of": (
        [{"metadata": {"speed": speed, "speed_limit": 80}} for speed in (84, 85.0)],
        [{"metadata": {"speed": speed, "speed_limit": 80}} for speed in (85.5, "84")] + [{"metadata": {"speed": 84}}],
    ),
    "expire_after_mins": ([at("11:00:00.000")], [at("11:00:00.001")]),
    "close_if_no_repeat_mins": ([at("10:00"), at("11:00")], []),
    "keep_latest": (
        [at("09:00") | {"metadata": {"vehicle_id": "V"}}],
        [at("10:00") | {"metadata": {"vehicle_id": "V"}}] * 2,
    ),
    "escalate_if_count": ([at("11:00")], [at("10:00"), at("10:30"), at("11:31")]),
    "keep_first": (
        [at("10:00") | {"metadata": {"vehicle_id": "V"}}],
        [at("09:00") | {"metadata": {"vehicle_id": "V"}}] * 2
        + [at(clock) | {"metadata": {"vehicle_id": "unknown"}} for clock in ("09:00", "10:00")],
    ),
    "count_if": (
        [at("10:50") | {"metadata": {"driver_id": "D", "speed": 110}}],
        [
            at("10:10") | {"metadata": {"driver_id": "D", "speed": 120}},
            at("10:30") | {"metadata": {"driver_id": "D", "speed": 90}},
        ],
    ),
    "count_statuses": (
        [at("11:00") | {"metadata": {"driver_id": "D"}}],
        [{"metadata": {"driver_id": "E"}}],
    ),
    "count_distinct": (
        [at("11:20") | {"metadata": {"vehicle_id": "W", "location": "depot"}}],
        [at(clock) | {"metadata": {"vehicle_id": "V", "location": "depot"}} for clock in ("11:00", "11:10")],
    ),
    "close_if_other": (
        [at("10:00") | {"metadata": {"vehicle_id": "V"}}],
        [
            at("11:00") | {"metadata": {"vehicle_id": "V"}},
            at("10:00") | {"source_type": "GEOFENCE", "metadata": {"vehicle_id": "V", "event": "returned"}},
        ],
    ),
    "parent": (
        [at("11:00") | {"metadata": {"parent_id": "settled"}}],
        [at("11:00") | {"metadata": {"parent_id": name}} for name in ("left-0", "nobody")],
    ),
    "suppress_if_other": (
        [at("11:00") | {"metadata": {"driver_id": "E"}, "created_at": at("11:00")["timestamp"]}],
        [
            at("11:00") | {"metadata": {"driver_id": "D"}, "created_at": at("11:00")["timestamp"]},
            at("10:00") | {"source_type": "DEVICE_OFFLINE", "metadata": {"driver_id": "D"}},
        ],
    ),
    "only_if": (
        [at("11:30") | {"metadata": {"driver_id": "D3", "ended": True}}],
        [
            at("11:30") | {"metadata": {"driver_id": "D4", "ended": False}},
            at("11:31") | {"metadata": {"driver_id": "D5", "ended": True}},
        ],
    ),
    "escalate_if": (
        [{"metadata": {"speed": 121, "speed_limit": 80}}],
        [{"metadata": {"speed": 120, "speed_limit": 80}}, {"metadata": {"speed": 200}}],
    ),
    "escalate_after_mins": (
        [at("11:30") | {"created_at": at("11:30")["timestamp"]}],
        [
            {"timestamp": at("10:00")["timestamp"], name: at("11:31")["timestamp"]}
            for name in ("created_at", "updated_at")
        ],
    ),
    "notify": (
        [at("11:30") | {"created_at": at("11:30")["timestamp"]}],
        [at("11:31") | {"created_at": at("11:31")["timestamp"]}],
    ),
    "hold_mins": (
        [at("11:45") | {"metadata": {"document_valid": True}}],
        [at("11:46") | {"metadata": {"document_valid": True}}],
    ),
    "severities-statuses": (
        [{"severity": "INFO"} | at("00:00") | {"timestamp": datetime(2026, 1, 1, tzinfo=UTC)}],
        [{"severity": "WARNING", "timestamp": datetime(2026, 1, 1, tzinfo=UTC)}],
    ),
}


def example_rule(rule_id: str) -> dict[str, Any]:
    found = [rule for document in DOCUMENTS for rule in document.get("rules", []) if rule["rule_id"] == rule_id]
    assert len(found) == 1, rule_id
    rule: dict[str, Any] = found[0]
    return rule


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_decides_as_its_comment_says(db: AlertDatabase, example: str) -> None:
    rule = example_rule(example)
    calendars = [one for document in DOCUMENTS if "calendars" in document for one in document["calendars"]]
    publish_rules(db, parse_rules({"rules": [rule], "calendars": calendars}, str(PAGE)))
    decided, left = EXAMPLES[example]
    named = [(f"decided-{number}", fields) for number, fields in enumerate(decided)]
    named += [(f"left-{number}", fields) for number, fields in enumerate(left)]
    settled = MONTH_AGO.replace(month=2, day=25)
    fill(db, [alert("settled", source_type="SAFETY", timestamp=settled, status="RESOLVED", driver="D")])
    fill(
        db,
        [alert(alert_id, minutes=90, **({"source_type": rule["source_type"]} | fields)) for alert_id, fields in named],
    )
    run_scan(db, ScanRequest(as_of=datetime(2026, 3, 1, 12, tzinfo=UTC)))
    changed = {alert_id for alert_id, status in statuses(db).items() if status not in ("OPEN", "RESOLVED")}
    assert changed == {alert_id for alert_id, _ in named if alert_id.startswith("decided")}


def test_every_rule_on_the_page_is_one() -> None:
    rules = [rule for document in DOCUMENTS for rule in document.get("rules", [])]
    trees = [document for document in DOCUMENTS if "close_if" in document]
    assert len(parse_rules(rules, str(PAGE))) == len(EXAMPLES) + 2
    for tree in trees:
        parse_rules([{"rule_id": "tree", "source_type": "SAFETY", "conditions": tree}], str(PAGE))


def rows_below(heading: str) -> list[list[str]]:
    """The rows of the table on the page that begins with `heading`, cell by cell."""
    lines = PAGE.read_text(encoding="utf-8").split(heading, 1)[1].splitlines()[2:]
    table = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("row", rows_below('| alert | `SAFETY` | `[SAFETY, GPS]` | `"*"` |'), ids=lambda row: row[0])
def test_a_rule_may_decide_the_alerts_of_its_sources_that_the_table_names(db: AlertDatabase, row: list[str]) -> None:
    source, *answers = row
    for given, answer in zip(("SAFETY", ["SAFETY", "GPS"], "*"), answers, strict=True):
        db.alerts.delete_many({})
        fill(db, [alert("a", source_type=json.loads(source))])
        [clause] = compile_rule(parse_rule(rule("r", {"expire_after_mins": 1}, source_type=given)), AS_OF)
        assert len(list(db.alerts.aggregate(clause.pipeline()))) == (answer == "yes"), given


@pytest.mark.parametrize("row", rows_below("| calendar | raised | closed at | since |"), ids=lambda row: row[1])
def test_a_calendar_closes_when_the_table_says(db: AlertDatabase, row: list[str]) -> None:
    name, raised, closed = row[0], *(_in_berlin(text) for text in row[1:3])
    [office] = [one for document in DOCUMENTS if "calendars" in document for one in document["calendars"]]
    calendars = {"office": office, "always": {**office, "open": {"mon-sun": ["00:00-24:00"]}, "holidays": []}}
    working = {**example_rule("working-hours"), "calendar": name, "calendars": [{**calendars[name], "name": name}]}
    fill(db, [alert("a", source_type="COMPLIANCE", timestamp=raised)])
    for as_of, due in ((closed - timedelta(milliseconds=1), 0), (closed, 1)):
        [clause] = compile_rule(parse_rule(working), as_of)
        assert len(list(db.alerts.aggregate(clause.pipeline()))) == due, as_of


def _in_berlin(text: str) -> datetime:
    """A local time of the table; one that comes twice is the second."""
    at = datetime.strptime(text, "%a %Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    return at.astimezone(UTC)
