"""Checks whether a database is ready for scans: server, rights, indexes, clock, and whether it is the right one.

It writes nothing and reads no alerts. Checks of the Dagster instance are in `defs`.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from pymongo.errors import PyMongoError

from alert_pipelines import alerts, job_records
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo.client import AlertDatabase, is_standalone, server_now
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.rules import store
from alert_pipelines.scanner.prepare import empty_warnings

OLDEST_SERVER = (6, 0)
NOTICED_SKEW = timedelta(seconds=5)


class Level(StrEnum):
    """The severity of a finding: `missing` prevents scans, `warning` is a disadvantage."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


class Finding(NamedTuple):
    """The result of a check, with its name in docs/add-to-dagster.md."""

    level: Level
    name: str
    description: str


# What the role alert_pipelines_scanner of deploy/mongodb-roles.json allows, where a scan cannot do without.
_NEEDED = {
    alerts.COLLECTION: {"find", "update"},
    job_records.COLLECTION: {"find", "insert", "update"},
    "rules": {"find"},
    "pipeline_rules": {"find"},
    "rule_versions": {"find", "insert", "update"},
    "maintenance_windows": {"find"},
}
_HELPFUL = {"createIndex": "scans create no indexes", "changeStream": "every scan examines all pending alerts"}
_INDEXES = {
    alerts.COLLECTION: alerts.INDEXES,
    job_records.COLLECTION: job_records.INDEXES,
    "rules": store.INDEXES,
    "pipeline_rules": store.INDEXES,
    "rule_versions": store.VERSION_INDEXES,
}


@at_the_door
def database_findings(db: AlertDatabase) -> Iterator[Finding]:
    """Run all checks. If the server refuses one, that is a finding, too."""
    looks: tuple[tuple[str, Callable[[AlertDatabase], Finding]], ...] = (
        ("MongoDB", _server),
        ("replica set", _replica_set),
        ("rights", _rights),
        ("indexes", _indexes),
        ("clock", _clock),
        ("collections", _collections),
    )
    for name, look in looks:
        try:
            yield look(db)
        except (PyMongoError, AlertPipelinesError) as fault:
            said = reason_of(fault) if isinstance(fault, PyMongoError) else str(fault)
            yield Finding(Level.WARNING, name, f"could not be checked: {said}")


def _server(db: AlertDatabase) -> Finding:
    version = db.command("buildInfo")["version"]
    oldest = ".".join(map(str, OLDEST_SERVER))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
        return Finding(Level.MISSING, "MongoDB", f"its version is {version}: {oldest} or newer is needed")
    return Finding(Level.OK, "MongoDB", f"version {version}, database {db.name!r}")


def _replica_set(db: AlertDatabase) -> Finding:
    if is_standalone(db):
        lost = "the server is standalone: every scan examines all pending alerts, and publishing rules is not atomic"
        return Finding(Level.WARNING, "replica set", f"{lost}. Make it a replica set of at least one member")
    return Finding(Level.OK, "replica set", "the server is a member of a replica set or a cluster")


def _rights(db: AlertDatabase) -> Finding:
    status = db.command("connectionStatus", showPrivileges=True)["authInfo"]
    if not status["authenticatedUsers"]:
        return Finding(Level.OK, "rights", "the server has no access control")
    granted = status["authenticatedUserPrivileges"]
    lacking = [
        f"{action} on {name}"
        for name, actions in _NEEDED.items()
        for action in sorted(actions - _actions(granted, db.name, name))
    ]
    role = "give the user the role alert_pipelines_scanner of mongodb-roles.json (`alert-pipelines init` writes it)"
    if lacking:
        return Finding(Level.MISSING, "rights", f"scans need {', '.join(lacking)}: {role}")
    allowed = _actions(granted, db.name, alerts.COLLECTION) | _actions(granted, db.name, "")
    lost = [f"without {action}, {what}" for action, what in _HELPFUL.items() if action not in allowed]
    if lost:
        return Finding(Level.WARNING, "rights", f"{'; '.join(lost)}: {role}")
    return Finding(Level.OK, "rights", "the user has all rights that scans need")


def _actions(granted: list[Mapping[str, Any]], database: str, collection: str) -> set[str]:
    return {
        action
        for privilege in granted
        for action in privilege["actions"]
        if privilege["resource"].get("anyResource")
        or (
            privilege["resource"].get("db") in ("", database)
            and privilege["resource"].get("collection") in ("", collection)
        )
    }


def _indexes(db: AlertDatabase) -> Finding:
    missing = []
    for name, indexes in _INDEXES.items():
        present = [list(index["key"].items()) for index in db[name].list_indexes()]
        missing += [
            f"{index.document['name']} of {name}"
            for index in indexes
            if list(index.document["key"].items()) not in present
        ]
    if missing:
        later = "The next scan creates those that it may create. With millions of alerts, this takes minutes, once"
        return Finding(Level.WARNING, "indexes", f"missing: {', '.join(missing)}. {later}")
    return Finding(Level.OK, "indexes", "no index is missing")


def _clock(db: AlertDatabase) -> Finding:
    before = datetime.now(UTC)
    now = server_now(db)
    after = datetime.now(UTC)
    ahead = now - before - (after - before) / 2
    description = (
        f"the server's clock is {abs(ahead).total_seconds():.1f} s "
        f"{'ahead of' if ahead > timedelta() else 'behind'} this machine's"
    )
    if abs(ahead) > NOTICED_SKEW:
        lost = "scans use the server's clock, schedules and run limits use this machine's"
        return Finding(Level.WARNING, "clock", f"{description}: {lost}. Synchronize both by NTP")
    return Finding(Level.OK, "clock", description)


def _collections(db: AlertDatabase) -> Finding:
    if odd := empty_warnings(db):
        return Finding(Level.WARNING, "collections", "; ".join(odd))
    return Finding(Level.OK, "collections", "the database has alerts or rules")
