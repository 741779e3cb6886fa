"""The jobs about maintenance windows: list, add and end them, and snooze one alert."""

from collections.abc import Iterator
from datetime import datetime

from dagster import MetadataValue, OpExecutionContext

from alert_pipelines.defs.background_jobs import op_job
from alert_pipelines.defs.config import AddWindowsConfig, EndWindowConfig, SnoozeConfig
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import host_file
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.rules.changes import change_table
from alert_pipelines.defs.tables import table, unbroken
from alert_pipelines.errors import InvalidWindowError
from alert_pipelines.rules.maintenance import (
    StoredWindow,
    add_windows,
    end_window,
    list_windows,
    read_duration,
    signed_windows,
    snooze_alert,
    warnings_of,
    why_it_holds,
)
from alert_pipelines.rules.publish import ChangeKind
from alert_pipelines.rules.window_files import read_windows
from alert_pipelines.signature import Signature

_WINDOW_COLUMNS = ("window", "state", "when", "alerts", "reason")
_ENDED_COLUMNS = ("window", "state", "ended_at")


@op_job("list_windows")
def list_windows_job(context: OpExecutionContext, mongo: MongoResource) -> None:
    """List current and future maintenance windows. Fails if one is not valid."""
    with as_dagster_failure():
        with mongo.open() as db:
            found = list_windows(db)
        context.add_output_metadata({"windows": table(_WINDOW_COLUMNS, map(_row, found))})
        if problems := [one.problem for one in found if one.problem]:
            raise InvalidWindowError("; ".join(problems))


@op_job("add_windows")
def add_windows_job(context: OpExecutionContext, config: AddWindowsConfig, mongo: MongoResource) -> None:
    """Add the maintenance windows of a file. Dry run by default; set dry_run: false to write."""
    with as_dagster_failure():
        windows = signed_windows(read_windows(host_file(config.file)), Signature.of(config.by, config.reason))
        with mongo.open() as db:
            changes = add_windows(db, windows, dry_run=config.dry_run)
        warnings = warnings_of(windows)
        for warning in warnings:
            context.log.warning("%s", warning)
        context.add_output_metadata(
            {
                "written": sum(change.written for change in changes),
                "changes": change_table("window", changes, _text),
                **({"warnings": MetadataValue.md("\n".join(f"- {one}" for one in warnings))} if warnings else {}),
            }
        )
        missed = [one.window_id for one in changes if one.kind is not ChangeKind.SAME and not one.written]
        if missed and not config.dry_run:
            raise InvalidWindowError(f"changed by somebody else in the same moment: {', '.join(missed)}. Run it again.")


@op_job("end_window")
def end_window_job(context: OpExecutionContext, config: EndWindowConfig, mongo: MongoResource) -> None:
    """End a maintenance window now. Dry run by default; set dry_run: false to end it."""
    with as_dagster_failure(), mongo.open() as db:
        signature = Signature.of(config.by, config.reason)
        found = end_window(db, config.window_id, dry_run=config.dry_run, signature=signature)
    rows = ((one.window_id, str(one.state), one.ended_at.isoformat() if one.ended_at else "") for one in found)
    context.add_output_metadata({"windows": table(_ENDED_COLUMNS, rows)})


@op_job("snooze_alert")
def snooze_alert_job(context: OpExecutionContext, config: SnoozeConfig, mongo: MongoResource) -> None:
    """Exempt one alert from scans for a time, with a maintenance window for this alert."""
    with as_dagster_failure():
        duration = read_duration(config.duration)
        with mongo.open() as db:
            window = snooze_alert(db, config.alert_id, duration, reason=config.reason, created_by=config.by)
    until = _text(window.to)
    context.log.info("%s is snoozed until %s", config.alert_id, until)
    context.add_output_metadata({"window": str(window.window_id), "until": until})


def _row(stored: StoredWindow) -> tuple[str, ...]:
    window = stored.window
    if window is None:
        return stored.window_id, str(stored.state), "", "", stored.problem or ""
    sources = ", ".join(window.source_types or ["all sources"])
    alerts = f"{sources}\n{window.alerts}" if window.field else sources
    return stored.window_id, str(stored.state), "\n".join(_when(stored)), alerts, why_it_holds(window)


def _when(stored: StoredWindow) -> Iterator[str]:
    """The lines of when it holds: few columns leave each its room."""
    if stored.span:
        yield from (
            unbroken(f"{word} {at:%d %b %Y %H:%M} UTC") for word, at in zip(("from", "to"), stored.span, strict=True)
        )
    if stored.window and stored.window.rrule:
        yield f"recurs {stored.window.rrule}"


def _text(value: object) -> str:
    return "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
