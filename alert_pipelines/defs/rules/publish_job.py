"""The job that publishes rules."""

import json
from typing import Any

from dagster import AssetObservation, OpExecutionContext, job, op

from alert_pipelines.defs.asset_specs import ALERT_RULES
from alert_pipelines.defs.config import PublishRulesConfig
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import host_file
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.rules.changes import change_table
from alert_pipelines.defs.run_log import lines_in_run_log
from alert_pipelines.signature import Signature


@op
def publish(
    context: OpExecutionContext, config: PublishRulesConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> None:
    """Publish rules in one transaction and show the changes. Keeps rules that a person changed, unless `overwrite`."""
    with lines_in_run_log(context.log, context.instance), as_dagster_failure(), mongo.open() as db:
        changes = rule_engine.publish(
            db,
            host_file(config.file) if config.file else None,
            overwrite=config.overwrite,
            dry_run=config.dry_run,
            signature=Signature.of(config.by, config.reason),
        )
    context.log_event(
        AssetObservation(
            names.key(ALERT_RULES),
            description="What publishing would change; nothing was written." if config.dry_run else "Rules published.",
            metadata={
                "written": sum(change.written for change in changes),
                "database": db.name,
                "changes": change_table("rule", changes, _text),
            },
        )
    )


@job
def publish_rules_job() -> None:
    """Publish the rules of a file. Dry run by default; set dry_run: false to publish."""
    publish()


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, default=str)
