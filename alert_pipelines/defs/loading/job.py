"""The job that loads a file of alerts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import AssetObservation, OpExecutionContext

from alert_pipelines.defs.asset_specs import ALERTS
from alert_pipelines.defs.background_jobs import op_job
from alert_pipelines.defs.config import LoadAlertsConfig, read_time_setting
from alert_pipelines.defs.dagster_internals import MessageFailure
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import host_file
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource

if TYPE_CHECKING:
    from alert_pipelines.loading import LoadReport, Mapping


@op_job("load")
def load_alerts_job(context: OpExecutionContext, config: LoadAlertsConfig, mongo: MongoResource, names: Names) -> None:
    """Load alerts from a CSV, JSON, Excel or Parquet file, with a mapping or a preset."""
    with as_dagster_failure(), _put_away(config):
        report, database = _load(context, config, mongo)
        if report.rows_rejected:
            reasons = "; ".join(map(str, report.reject_reasons))
            told = f"{report.rows_rejected:,} of {report.rows_read:,} rows of {config.file} were rejected: {reasons}"
            if report.nothing_usable:
                raise MessageFailure(f"No row could be used. {told}. Correct the mapping.")
            context.log.warning(told)
    for warning in report.summary.warnings():
        context.log.warning(warning)
    context.log_event(
        AssetObservation(
            names.key(ALERTS), description=f"Loaded {config.file}.", metadata=_counts(report) | {"database": database}
        )
    )


def _load(context: OpExecutionContext, config: LoadAlertsConfig, mongo: MongoResource) -> "tuple[LoadReport, str]":
    # Every run loads this module, and only this op needs the loader.
    from alert_pipelines.loading.inbox import reject_path_of  # noqa: PLC0415
    from alert_pipelines.loading.load import load_alerts  # noqa: PLC0415

    def on_progress(report: "LoadReport") -> None:
        context.log.info("%s", report.progress())

    path = host_file(config.file)
    with mongo.open() as db:
        report = load_alerts(
            db,
            path,
            _declared(config),
            until=read_time_setting("until", config.until),
            update=config.update,
            reject_path=reject_path_of(path) if config.put_away else None,
            on_progress=on_progress,
        )
        return report, db.name


@contextmanager
def _put_away(config: LoadAlertsConfig) -> Iterator[None]:
    """Move the file where it belongs after its load; where the database failed it stays, to be loaded again."""
    from alert_pipelines.errors import LoadError, MappingError  # noqa: PLC0415
    from alert_pipelines.loading.inbox import DONE, FAILED, put_away  # noqa: PLC0415

    try:
        yield
    except (LoadError, MappingError, MessageFailure):
        if config.put_away:
            put_away(host_file(config.file), FAILED)
        raise
    if config.put_away:
        put_away(host_file(config.file), DONE)


def _declared(config: LoadAlertsConfig) -> "Mapping":
    from alert_pipelines.loading.mapping import load_mapping  # noqa: PLC0415
    from alert_pipelines.loading.presets import load_preset  # noqa: PLC0415

    if config.mapping and not config.preset:
        return load_mapping(host_file(config.mapping))
    if config.preset and not config.mapping:
        return load_preset(config.preset)
    raise MessageFailure("Write one of mapping and preset: how the file is to be read.")


def _counts(report: "LoadReport") -> dict[str, Any]:
    return {
        "rows read": report.rows_read,
        "inserted": report.alerts_inserted,
        "already there": report.alerts_already_there,
        "updated": report.alerts_updated,
        "differ from the file": report.alerts_differ,
        "decisions kept": report.decisions_kept,
        "rejected": report.rows_rejected,
        "after until": report.rows_after_until,
        "never fired": report.never_fired,
        "duration_s": round(report.seconds, 3),
        "summary": "\n".join(report.summary.lines()),
        **({"reject file": str(report.reject_path)} if report.reject_path else {}),
        **({"reject reasons": "\n".join(map(str, report.reject_reasons))} if report.reject_path else {}),
    }
