import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alert_pipelines.alerts import Alert
from alert_pipelines.loading import LoadReport, load_alerts
from alert_pipelines.mongo import AlertDatabase

from .mappings import TICKETS, mapping, write

HEADER = "id,state,opened,updated,by,owner\n"
# Mixed, out of order, and two updates of one instant.
LOG = """
    id,state,opened,updated,by,owner
    A,New,2025-01-01T08:00,2025-01-01T09:00,ann,x
    B,New,2025-01-01T08:30,2025-01-01T09:30,ann,
    A,Closed,2025-01-01T08:00,2025-01-03T09:00,robot,z
    A,Solved,2025-01-01T08:00,2025-01-02T09:00,bob,y
    A,New,2025-01-01T08:00,2025-01-02T09:00,cid,
    B,Hot,2025-01-01T08:30,2025-01-02T10:00,,w
"""


def day(number: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2025, 1, number, hour, minute, tzinfo=UTC)


def load(db: AlertDatabase, tmp_path: Path, text: str, until: datetime | None = None) -> LoadReport:
    path = write(tmp_path / "log.csv", text)
    return load_alerts(db, path, mapping(TICKETS), until=until, reject_path=tmp_path / "bad.jsonl")


def alert(db: AlertDatabase, alert_id: str) -> dict[str, Any]:
    found = db.alerts.find_one({"alert_id": alert_id})
    assert found is not None
    Alert.model_validate(found)
    assert set(found) - {"_id"} == set(Alert.model_fields)
    return found


def test_the_updates_of_an_id_are_one_alert_in_order_of_time(db: AlertDatabase, tmp_path: Path) -> None:
    report = load(db, tmp_path, LOG)
    assert (report.rows_read, report.alerts_inserted) == (6, 2)
    a = alert(db, "A")
    assert [
        (entry["from_status"], entry["to_status"], entry["timestamp"], entry["triggered_by"])
        for entry in a["state_history"]
    ] == [
        ("OPEN", "RESOLVED", day(2, 9), "bob"),
        ("RESOLVED", "OPEN", day(2, 9), "cid"),
        ("OPEN", "AUTO_CLOSED", day(3, 9), "system"),
    ]
    assert (a["status"], a["closed_at"], a["resolved_at"], a["resolved_by"]) == ("AUTO_CLOSED", day(3, 9), None, None)
    assert (a["timestamp"], a["created_at"], a["updated_at"]) == (day(1, 8), day(1, 9), day(3, 9))
    assert a["metadata"] == {"state": "Closed", "owner": "z"}
    b = alert(db, "B")
    assert (b["status"], b["severity"], b["escalated_at"]) == ("ESCALATED", "CRITICAL", day(2, 10))
    assert b["state_history"][0]["triggered_by"] == "unknown"


def test_until_shows_the_alerts_as_they_stood(db: AlertDatabase, tmp_path: Path) -> None:
    report = load(db, tmp_path, LOG, until=day(2, 9))
    assert (report.alerts_inserted, report.rows_after_until) == (2, 2)
    a = alert(db, "A")
    assert (a["status"], a["updated_at"], len(a["state_history"])) == ("OPEN", day(2, 9), 2)
    assert a["metadata"] == {"state": "New"}, "the owner was missing by then"
    assert alert(db, "B")["severity"] == "INFO"


@pytest.mark.parametrize(("until", "count"), [(day(1, 8, 59), 0), (day(1, 9), 1), (day(1, 9, 30), 2)])
def test_an_alert_begins_with_its_first_update(db: AlertDatabase, tmp_path: Path, until: datetime, count: int) -> None:
    assert load(db, tmp_path, LOG, until=until).alerts_inserted == count


def test_an_alert_dated_after_until_is_left_out(db: AlertDatabase, tmp_path: Path) -> None:
    report = load(db, tmp_path, HEADER + "A,New,2025-01-05,2025-01-01,ann,x\n", until=day(2))
    assert (report.alerts_inserted, report.rows_after_until) == (0, 1)


def test_a_bad_update_is_rejected_and_the_others_make_the_alert(db: AlertDatabase, tmp_path: Path) -> None:
    report = load(
        db,
        tmp_path,
        HEADER
        + "A,New,2025-01-01,2025-01-01,ann,x\n"
        + "A,Slved,2025-01-01,2025-01-02,ann,y\n"
        + "A,Solved,2025-01-01,yesterday,ann,y\n"
        + ",New,2025-01-01,2025-01-03,ann,y\n",
    )
    assert (report.rows_rejected, report.alerts_inserted) == (3, 1)
    assert alert(db, "A")["metadata"]["owner"] == "x"
    entries = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in entries] == [
        (3, "column 'state': 'Slved' is not in the mapping; did you mean 'Solved'?"),
        (4, "column 'updated': 'yesterday' is not a valid date: expected the form iso"),
        (5, "column 'id' is missing or empty"),
    ]


def test_a_second_load_leaves_the_alerts_as_they_are(db: AlertDatabase, tmp_path: Path) -> None:
    load(db, tmp_path, LOG, until=day(2))
    before = alert(db, "A")
    report = load(db, tmp_path, LOG)
    assert (report.alerts_inserted, report.alerts_already_there) == (0, 2)
    assert alert(db, "A") == before


def test_a_refused_alert_is_rejected_under_the_line_of_its_last_update(db: AlertDatabase, tmp_path: Path) -> None:
    db.command("collMod", "alerts", validator={"alert_id": {"$ne": "A"}})
    report = load(db, tmp_path, LOG)
    assert (report.alerts_inserted, report.rows_rejected) == (1, 1)
    assert json.loads((tmp_path / "bad.jsonl").read_text())["line"] == 4


def test_a_killed_load_left_its_temporary_file(tmp_path: Path) -> None:
    killed = (
        "import os, signal\n"
        "from alert_pipelines.loading.spool import open_spool\n"
        "with open_spool() as spool:\n"
        "    assert [spool.ordinal('A'), spool.ordinal('A')] == [1, 2]\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", killed], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    assert list(tmp_path.iterdir()) == []
