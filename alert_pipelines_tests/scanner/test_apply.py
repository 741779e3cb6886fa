"""How a plan's writes reach the server."""

import pytest
from bson import ObjectId

from alert_pipelines.mongo import AlertDatabase
from alert_pipelines.scanner import apply
from alert_pipelines.scanner.result import ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines_tests.commands import recorded
from alert_pipelines_tests.factories import AS_OF, alert, fill, rule, statuses


def test_batches_are_written_as_the_alerts_lie_on_the_disk_not_as_the_plan_found_them(
    db: AlertDatabase, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "BATCH", 3)
    monkeypatch.setattr(apply, "WRITERS", 1)
    ids = [ObjectId() for _ in range(12)]
    # The plan finds the oldest first: of these, every fifth.
    alerts = [alert(minutes=100 + (5 * number) % 12, _id=_id) for number, _id in enumerate(ids)]
    others = [alert(minutes=200, _id=_id) for _id in ("text", 7, None)]
    fill(db, alerts + others, rule("expire", {"expire_after_mins": 60}))
    with recorded(db, mongo_uri) as (watched, recorder):
        run_scan(watched, ScanRequest(as_of=AS_OF))
    sent = [command["updates"][0] for command in recorder.of_the_program() if command.get("update") == "alerts"]
    written = [_id for update in sent for _id in update["q"]["_id"]["$in"]]
    assert [_id for _id in written if isinstance(_id, ObjectId)] == ids
    assert {_id for _id in written if not isinstance(_id, ObjectId)} == {"text", 7, None}
    assert set(statuses(db).values()) == {"AUTO_CLOSED"}
