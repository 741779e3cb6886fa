"""The claimed job that a scan is done as, and what its plan is made with."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from bson import Timestamp
from pymongo.client_session import ClientSession

from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.scanner.result import ScanRequest

Progress = Callable[[int, int], None]
"""Called with the alerts written so far and those planned."""


class OplogPosition(NamedTuple):
    """Where the server stood just before a scan's claim; None if it keeps no oplog."""

    operation_time: Timestamp | None


def oplog_position(db: AlertDatabase) -> OplogPosition:
    """Where the server stands now. To be taken before the claim."""
    return OplogPosition(db.command("hello").get("operationTime"))


class Claim(NamedTuple):
    """The claimed job that a scan is done as.

    The server stood at `before` before the claim; None if the scan is not to build on an earlier one. `check` is
    called before every query and write and raises once the claim is lost.
    """

    db: AlertDatabase
    request: ScanRequest
    job_id: str
    as_of: datetime
    before: OplogPosition | None
    check: Callable[[], None]
    on_progress: Progress | None


class PlanContext(NamedTuple):
    """What the plan of a scan is made with: for which job and as_of, active rules and windows, and in which session.

    The session is causally consistent, and the plan has to be read in it as well. `check` is called now and then and
    may raise to stop.
    """

    db: AlertDatabase
    job_id: str
    as_of: datetime
    rules: Sequence[Rule]
    windows: Sequence[MaintenanceWindow]
    session: ClientSession
    check: Callable[[], None]
