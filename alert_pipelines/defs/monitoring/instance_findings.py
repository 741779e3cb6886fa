"""Findings about the Dagster instance: settings that this package needs, and processes that are not running."""

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from dagster import DagsterInstance

from alert_pipelines.defs.dagster_internals import InstigatorType, TickStatus, unhealthy_daemons
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import instigators
from alert_pipelines.defs.scan.schedule import AUTO_CLOSE_SCHEDULE
from alert_pipelines.defs.scan.sensor import dead_scan_sensor
from alert_pipelines.monitoring.fitness import Finding, Level
from alert_pipelines.settings import CRON_VARIABLE, OFF, Settings

_DAGSTER = "1.13."


def instance_findings(instance: DagsterInstance, settings: Settings) -> Iterator[Finding]:
    """Look at the settings of the instance, and at what runs in it."""
    yield _versions()
    yield Finding(Level.OK, "DAGSTER_HOME", str(Path(instance.root_directory)))
    yield _daemons(instance)
    names = Names(prefix=settings.prefix)
    if settings.cron is None:
        yield Finding(Level.WARNING, "schedule", f"{CRON_VARIABLE} is {OFF}: no scans are made")
    else:
        yield from _switched(instance, "schedule", names.name(AUTO_CLOSE_SCHEDULE), InstigatorType.SCHEDULE)
    yield from _switched(instance, "sensor", names.name(dead_scan_sensor.name), InstigatorType.SENSOR)
    yield _monitoring(instance)
    yield _retries(instance)
    yield _threads(instance)
    yield _retention(instance)
    yield _queue(instance)
    yield _python_logs(instance)


def _versions() -> Finding:
    dagster = metadata.version("dagster")
    description = f"Dagster {dagster}, PyMongo {metadata.version('pymongo')}, Python {sys.version.split()[0]}"
    if not dagster.startswith(_DAGSTER):
        return Finding(Level.MISSING, "versions", f"{description}: Dagster {_DAGSTER}* is needed")
    return Finding(Level.OK, "versions", description)


def _daemons(instance: DagsterInstance) -> Finding:
    dead = unhealthy_daemons(instance)
    if dead:
        lost = "no ticks are made, or what they queue is not started. Run dagster-daemon with this DAGSTER_HOME"
        return Finding(Level.MISSING, "daemon", f"no heartbeat of {', '.join(dead)}: {lost}")
    return Finding(Level.OK, "daemon", "it is alive")


def _switched(instance: DagsterInstance, kind: str, name: str, of_type: InstigatorType) -> Iterator[Finding]:
    found = instigators(instance, of_type, name)
    if not found:
        yield Finding(
            Level.MISSING,
            kind,
            f"the daemon has not seen {name}: add the code location to its workspace, or wait some seconds if it just "
            "started",
        )
    for one in found:
        which = f"{name} of {one.location.name}"
        if one.is_running:
            yield Finding(Level.OK, kind, f"{which} is on")
        else:
            yield Finding(Level.WARNING, kind, f"{which} is off: switch it on under Automation in the UI")


def _monitoring(instance: DagsterInstance) -> Finding:
    if instance.run_monitoring_enabled:
        return Finding(Level.OK, "run monitoring", "it is on")
    return Finding(
        Level.WARNING,
        "run monitoring",
        "it is off: only dead_scan_sensor and ticks end a run whose worker died, and they need the code server. "
        "Set run_monitoring: {enabled: true}",
    )


def _retries(instance: DagsterInstance) -> Finding:
    if instance.run_retries_enabled:
        return Finding(Level.OK, "run retries", "they are on; a tag of scans prevents that they are launched again")
    return Finding(Level.OK, "run retries", "they are off")


def _threads(instance: DagsterInstance) -> Finding:
    if instance.get_sensor_settings().get("use_threads"):
        return Finding(Level.OK, "sensor threads", "sensors run in parallel")
    return Finding(
        Level.WARNING,
        "sensor threads",
        "sensors run one after another: a slow sensor of any code location delays notifications. It also delays the "
        "end of dead scans whose watcher died, at most until the next tick of the schedule. Set sensors: "
        "{use_threads: true, num_workers: 4}",
    )


def _retention(instance: DagsterInstance) -> Finding:
    days = instance.get_tick_retention_settings(InstigatorType.SENSOR)[TickStatus.SKIPPED]
    if days >= 0:
        return Finding(
            Level.OK, "tick retention", f"skipped ticks of sensors are kept for {days} {'day' if days == 1 else 'days'}"
        )
    return Finding(
        Level.WARNING,
        "tick retention",
        "ticks are never deleted, and dead_scan_sensor makes 5,760 a day. Set retention: {sensor: {purge_after_days: "
        "{skipped: 1}}}",
    )


def _queue(instance: DagsterInstance) -> Finding:
    # The coordinator's own config lacks what dagster.yaml sets under `concurrency`.
    queue = instance.get_concurrency_config().run_queue_config
    if queue is None:
        return Finding(Level.OK, "queue", "there is none: runs start immediately, and the claim keeps scans apart")
    limit = queue.max_concurrent_runs
    if limit < 0:
        return Finding(Level.OK, "queue", "it has no limit")
    runs = "run" if limit == 1 else "runs"
    return Finding(Level.OK, "queue", f"{limit} {runs} at a time, of all code locations; scans wait in the queue")


def _python_logs(instance: DagsterInstance) -> Finding:
    managed = instance.managed_python_loggers
    if managed:
        return Finding(Level.OK, "python_logs", f"{', '.join(managed)}; the scan's lines are in its run's log anyway")
    return Finding(Level.OK, "python_logs", "not set; the scan's lines are in its run's log anyway")
