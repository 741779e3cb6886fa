"""The ten example rules of docs/rules-howto.md, each run as a rule."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.rules.files import parse_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.factories import AS_OF, ago, alert, fill, statuses

PAGE = Path(__file__).parents[2] / "docs" / "rules-howto.md"
WISHES = yaml.safe_load(PAGE.read_text("utf-8").split("## Ten example rules")[1].split("```yaml\n")[1].split("```")[0])

Alerts = list[dict[str, Any]]


def of(metadata: dict[str, Any], name: str, minutes: float = 30, **fields: Any) -> dict[str, Any]:
    return alert(name, minutes=minutes, metadata=metadata, **fields)


def speeds(*speeds: object) -> Alerts:
    return [of({"speed": speed, "speed_limit": 80}, f"{speed!r}") for speed in speeds]


BURST = [of({"vehicle_id": vehicle}, f"{vehicle}{n}", 30 - n) for vehicle in ("V", "UnknownVehicle") for n in (1, 2)]
WISHED: dict[str, tuple[Alerts, set[str]]] = {
    "1-hardly-too-fast": (speeds(84, 85.0, 86, "84"), {"84", "85.0"}),
    "2-ended-and-quiet": (
        [
            of({"driver_id": "D1", "ended": True}, "quiet"),
            of({"driver_id": "D2", "ended": False}, "lasts"),
            of({"driver_id": "D3", "ended": True}, "repeated"),
            of({"driver_id": "D3", "ended": True}, "repeat", 5),
        ],
        {"quiet"},
    ),
    "3-unattended": ([alert("old"), alert("young", minutes=29), alert("seen", updated_at=ago(5))], {"old"}),
    "4-far-too-fast": (speeds(121, 120, "121"), {"121"}),
    "5-all-clear": (
        [
            of({"sensor_id": "S", "state": "hot"}, "before", 40),
            of({"sensor_id": "S", "state": "hot"}, "same moment", 30),
            of({"sensor_id": "S", "state": "hot"}, "after", 20),
            of({"sensor_id": "S", "state": "ok"}, "ok", 30),
            of({"sensor_id": "T", "state": "hot"}, "other sensor", 40),
        ],
        {"before", "same moment"},
    ),
    "6-parent-settled": (
        [
            alert("parent", status="RESOLVED"),
            of({"parent_id": "parent"}, "child", source_type="ANY"),
            alert("pending parent"),
            of({"parent_id": "pending parent"}, "other child"),
        ],
        {"child"},
    ),
    "7-not-while-offline": (
        [
            *(of({"vehicle_id": vehicle}, f"{vehicle}{n}", 30 - n) for vehicle in ("on", "off") for n in (1, 2)),
            of({"vehicle_id": "off"}, "offline", 90, source_type="DEVICE_OFFLINE"),
        ],
        {"on2"},
    ),
    "8-one-of-a-burst": (BURST, {"V2"}),
    "9-third-time-this-week": (
        [
            alert("first", minutes=9_000, status="RESOLVED"),
            alert("second", minutes=5_000, status="AUTO_CLOSED"),
            alert("third", minutes=10),
            *(alert(f"twice{n}", minutes=n, driver="D2") for n in (10, 20)),
        ],
        {"third"},
    ),
    "10-after-a-month": (
        [
            alert("old", minutes=43_200, source_type="FUEL"),
            alert("updated", minutes=43_200, updated_at=ago(10)),
            alert("young", minutes=43_199),
        ],
        {"old"},
    ),
}


@pytest.mark.parametrize("wish", WISHES["rules"], ids=lambda wish: wish["rule_id"])
def test_a_wish_is_granted_as_the_page_writes_it(db: AlertDatabase, wish: dict[str, Any]) -> None:
    [rule] = parse_rules([wish], str(PAGE))
    alerts, decided = WISHED[wish["rule_id"]]
    own = rule.sources[0] if rule.sources else "OVERSPEEDING"
    fill(db, [one | {"source_type": own} if one["source_type"] == "OVERSPEEDING" else one for one in alerts])
    publish_rules(db, [rule])
    before = statuses(db)
    run_scan(db, ScanRequest(as_of=AS_OF))
    again = run_scan(db, ScanRequest(as_of=AS_OF + timedelta(seconds=1)))
    assert {name for name, status in statuses(db).items() if status != before[name]} == decided
    assert (again.closed, again.escalated) == (0, 0)


def test_there_are_ten_wishes() -> None:
    assert [wish["rule_id"] for wish in WISHES["rules"]] == list(WISHED)
    assert len(WISHED) == 10
