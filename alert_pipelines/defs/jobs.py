"""The jobs: the scan, and the two that prepare its input."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetObservation,
    AssetSelection,
    Failure,
    OpExecutionContext,
    define_asset_job,
    in_process_executor,
    job,
    op,
)

from alert_pipelines.defs.asset_specs import ALERT_RULES, ALERTS, SCAN_CHECKS
from alert_pipelines.defs.assets import auto_close
from alert_pipelines.defs.config import LoadAlertsConfig, PublishRulesConfig, parse_instant
from alert_pipelines.defs.failures import clear_failures
from alert_pipelines.defs.host_files import host_file
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.run_log import lines_in_run_log
from alert_pipelines.defs.run_records import NO_RETRY_TAGS
from alert_pipelines.defs.scan_events import table
from alert_pipelines.defs.scan_runs import AUTO_CLOSE_JOB
from alert_pipelines.rules.publish import RuleChange

if TYPE_CHECKING:
    from alert_pipelines.loading import LoadReport, Mapping

# A scan that hangs does not block the queue for ever. A blocked one waits for a person in every instance, also in one
# that retries failed runs. It goes before our own background runs and nobody else's: the queue may be others' as well.
SCAN_TAGS = {"dagster/max_runtime": "1800", **NO_RETRY_TAGS}

# Whatever nobody waits for goes behind all else, and keeps a scan waiting for minutes at the very worst.
BACKGROUND_TAGS = {"dagster/priority": "-10", "dagster/max_runtime": "120"}

_CHANGE_COLUMNS = {
    "rule": "string",
    "change": "string",
    "written": "bool",
    "field": "string",
    "before": "string",
    "after": "string",
}

auto_close_job = define_asset_job(
    AUTO_CLOSE_JOB,
    # Checks that others put on these assets are no part of a scan.
    selection=AssetSelection.assets(auto_close).without_checks()
    | AssetSelection.checks(*(check.key for check in SCAN_CHECKS)),
    description="Run one scan: close and escalate pending alerts that match a rule.",
    tags=SCAN_TAGS,
    executor_def=in_process_executor,
)


@op
def publish(
    context: OpExecutionContext, config: PublishRulesConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> None:
    """Publish rules, all at once, showing what changes; what a person changed stays unless told to."""
    with lines_in_run_log(context.log, context.instance), clear_failures(), mongo.open() as db:
        changes = rule_engine.publish(
            db, host_file(config.file) if config.file else None, overwrite=config.overwrite, dry_run=config.dry_run
        )
    context.log_event(
        AssetObservation(
            names.key(ALERT_RULES),
            description="What publishing would change; nothing was written." if config.dry_run else "Rules published.",
            metadata={
                "written": sum(change.written for change in changes),
                "changes": table(_CHANGE_COLUMNS, (row for change in changes for row in _rows(change))),
            },
        )
    )


@op
def load(context: OpExecutionContext, config: LoadAlertsConfig, mongo: MongoResource, names: Names) -> None:
    """Load a file of alerts into `alerts`, as its mapping says; a repeated load adds nothing twice."""
    with clear_failures(), _put_away(config):
        report = _load(context, config, mongo)
        if report.rows_rejected:
            reasons = "; ".join(map(str, report.reject_reasons))
            told = f"{report.rows_rejected:,} of {report.rows_read:,} rows of {config.file} were rejected: {reasons}"
            if report.nothing_usable:
                raise Failure(f"No row could be used. {told}. Correct the mapping.", allow_retries=False)
            context.log.warning(told)
    for warning in report.summary.warnings():
        context.log.warning(warning)
    context.log_event(
        AssetObservation(names.key(ALERTS), description=f"Loaded {config.file}.", metadata=_counts(report))
    )


def _load(context: OpExecutionContext, config: LoadAlertsConfig, mongo: MongoResource) -> "LoadReport":
    # Every run loads this module, and only this op needs the loader.
    from alert_pipelines.loading.inbox import reject_path_of  # noqa: PLC0415
    from alert_pipelines.loading.load import load_alerts  # noqa: PLC0415

    def on_progress(report: "LoadReport") -> None:
        context.log.info("%s", report.progress())

    path = host_file(config.file)
    with mongo.open() as db:
        return load_alerts(
            db,
            path,
            _declared(config),
            until=parse_instant("until", config.until),
            update=config.update,
            reject_path=reject_path_of(path) if config.put_away else None,
            on_progress=on_progress,
        )


@contextmanager
def _put_away(config: LoadAlertsConfig) -> Iterator[None]:
    """Move the file where it belongs after its load; where the database failed it stays, to be loaded again."""
    from alert_pipelines.loading import LoadError, MappingError  # noqa: PLC0415
    from alert_pipelines.loading.inbox import DONE, FAILED, put_away  # noqa: PLC0415

    try:
        yield
    except (LoadError, MappingError, Failure):
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
    raise Failure("Write one of mapping and preset: how the file is to be read.", allow_retries=False)


@job(description="Publish rules from a file, or the package's own, and show what changes.")
def publish_rules_job() -> None:
    """One op."""
    publish()


@job(description="Load alerts from a CSV, JSON, Excel or Parquet file, by a mapping or a preset.")
def load_alerts_job() -> None:
    """One op."""
    load()


def _rows(change: RuleChange) -> Iterator[tuple[str | bool, ...]]:
    rule = (change.rule_id, str(change.kind), change.written)
    if not change.fields:
        yield (*rule, "", "", "")
    for field in change.fields:
        yield (*rule, field.path, _text(field.before), _text(field.after))


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


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, default=str)
