"""Whether all that the assets show is of one database: an event shows above those before, whichever they were of."""

from datetime import UTC, datetime, timedelta

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    EventLogEntry,
)

from alert_pipelines.defs.asset_specs import ALERT_RULES, DRY_RUNS, HEALTH, RULES_OVERVIEW, TODAY
from alert_pipelines.defs.names import Names
from alert_pipelines.monitoring.health import HealthResult

ONE_DATABASE = "one_database"

_LOOKED_AT = timedelta(days=1)
_MOST = 1500
"""At most this many events of an asset are looked at: a day has 1,440 minutes, and cron has no shorter gap."""
_MOST_CHECKS = 100
# One of the assets of a scan will do, the one with the least metadata. Health checks make no materialization.
_SHOWN = (ALERT_RULES, DRY_RUNS, TODAY, RULES_OVERVIEW)


def one_database(instance: DagsterInstance, names: Names, database: str) -> HealthResult:
    """Whether all events of the last day, however their runs were launched, are of `database`."""
    others = sorted(_databases_of_day(instance, names) - {database})
    if not others:
        return HealthResult(True, f"All events of the last day are of {database}.", {"other databases": 0})
    return HealthResult(False, _mixed(database, ", ".join(others)), {"other databases": len(others)})


def other_database_shown(instance: DagsterInstance, names: Names, database: str) -> AssetCheckEvaluation | None:
    """The check, failed, where what a scan of `database` is about to show replaces another database's of the last day.

    The hourly checks would tell it later, and by then a red verdict may long be green.
    """
    shown = instance.get_latest_materialization_event(names.key(ALERT_RULES))
    if shown is None or shown.timestamp < _day_ago() or _database_of(shown) in (None, database):
        return None
    return AssetCheckEvaluation(
        names.key(HEALTH),
        ONE_DATABASE,
        passed=False,
        severity=AssetCheckSeverity.WARN,
        description=_mixed(database, str(_database_of(shown))),
        metadata={"other databases": 1, "database": database},
    )


def _mixed(database: str, others: str) -> str:
    return (
        f"Assets and checks now show {database}, and events of the last day are of {others}, too. A verdict on one "
        "database replaced that on the other. Give each an ALERT_PIPELINES_PREFIX or a DAGSTER_HOME. If the database "
        "was changed on purpose, this passes within a day."
    )


def _databases_of_day(instance: DagsterInstance, names: Names) -> set[str]:
    entries: list[EventLogEntry | None] = []
    for key in map(names.key, _SHOWN):
        of_day = AssetRecordsFilter(key, after_timestamp=_day_ago())
        entries += [record.event_log_entry for record in instance.fetch_materializations(of_day, _MOST).records]
    check = names.check(AssetCheckKey(AssetKey(HEALTH), ONE_DATABASE))
    checks = instance.event_log_storage.get_asset_check_execution_history(check, _MOST_CHECKS)
    entries += [record.event for record in checks if record.create_timestamp >= _day_ago()]
    return {found for entry in entries if entry and (found := _database_of(entry))}


def _day_ago() -> float:
    return (datetime.now(UTC) - _LOOKED_AT).timestamp()


def _database_of(entry: EventLogEntry) -> str | None:
    """The database that an event names; None for one that names none, as of a check that has yet to be evaluated."""
    data = entry.dagster_event.event_specific_data if entry.dagster_event else None
    shown = getattr(data, "materialization", data)
    found = getattr(shown, "metadata", {}).get("database")
    return str(found.value) if found else None
