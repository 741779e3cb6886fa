"""The jobs about rules: validate a file, preview it on the current alerts, publish it, and export what is published.

Comparing a file with the collection is a dry run of `publish_rules_job`, which validates it too.
"""

import json
from collections.abc import Iterable
from typing import Any

from dagster import AssetObservation, MetadataValue, OpExecutionContext

from alert_pipelines.audit.rule_preview import DECISIONS, PlannedBy, RulePreview, preview_rules
from alert_pipelines.defs.asset_specs import ALERT_RULES, DRY_RUNS
from alert_pipelines.defs.background_jobs import op_job
from alert_pipelines.defs.config import ExportRulesConfig, PreviewRulesConfig, PublishRulesConfig, ValidateRulesConfig
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import host_file
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource, RuleEngine
from alert_pipelines.defs.rules.changes import change_table
from alert_pipelines.defs.run_log import lines_in_run_log
from alert_pipelines.defs.tables import table, without_empty
from alert_pipelines.rules.against_alerts import warnings_against_alerts
from alert_pipelines.rules.files import default_rules, dump_rules, parse_rules_text, read_rules, write_rules
from alert_pipelines.rules.lint import warnings_of
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.publish import export_rules
from alert_pipelines.rules.sentences import sentence
from alert_pipelines.signature import Signature

_RULE_COLUMNS = ("rule", "source", "mode", "priority", "what it does")


@op_job("validate")
def validate_rules_job(context: OpExecutionContext, config: ValidateRulesConfig, mongo: MongoResource) -> None:
    """Check a rule file, or the default rules. Changes nothing."""
    with as_dagster_failure():
        rules = read_rules(host_file(config.file)) if config.file else default_rules()
        warnings = warnings_of(rules)
        if config.against_alerts:
            with mongo.open() as db:
                warnings += warnings_against_alerts(db, rules)
    rows = (
        (rule.rule_id, rule.source_names, str(rule.effective_mode), rule.priority, sentence(rule)) for rule in rules
    )
    for warning in warnings:
        context.log.warning("%s.", warning)
    shown = {"warnings": MetadataValue.md("\n".join(f"- {warning}." for warning in warnings))} if warnings else {}
    context.add_output_metadata({"valid rules": len(rules), "rules": table(_RULE_COLUMNS, rows), **shown})


@op_job("export")
def export_rules_job(context: OpExecutionContext, config: ExportRulesConfig, mongo: MongoResource) -> None:
    """Export the published rules as a rule file. Changes nothing."""
    with as_dagster_failure(), mongo.open() as db:
        rules = export_rules(db)
        if config.file:
            write_rules(host_file(config.file), rules)
    shown = MetadataValue.md(f"```yaml\n{dump_rules(rules)}```")
    context.add_output_metadata({"rules": len(rules), "rule file": shown})


_GROUP_COLUMNS = ("change", "decision", "rule", "source", "status", "alerts")


@op_job("preview")
def preview_rules_job(
    context: OpExecutionContext, config: PreviewRulesConfig, mongo: MongoResource, names: Names
) -> None:
    """Preview changed rules: what a scan would close and escalate, compared with the published rules."""
    with as_dagster_failure(), mongo.open() as db:
        found = preview_rules(db, _rules(config))
    context.log.info(_in_short(found))
    context.log_event(
        AssetObservation(
            names.key(DRY_RUNS),
            description=f"Changed rules, not published. {_in_short(found)}",
            metadata=without_empty(
                {
                    "more and fewer than by the rules in force": table(_GROUP_COLUMNS, found.groups),
                    **_lines("would be blocked", (one.message for one in found.changed.blocked)),
                    **_lines("cannot be evaluated", found.changed.errors),
                    "database": db.name,
                }
            ),
        )
    )


def _rules(config: PreviewRulesConfig) -> list[Rule]:
    if config.rules.strip():
        return parse_rules_text(config.rules)
    return read_rules(host_file(config.file)) if config.file else default_rules()


def _lines(name: str, lines: Iterable[str]) -> dict[str, str]:
    text = "\n".join(lines)
    return {name: text} if text else {}


def _in_short(found: RulePreview) -> str:
    return f"A scan now would {_planned(found.changed)}; by the rules in force it would {_planned(found.in_force)}."


def _planned(by: PlannedBy) -> str:
    blocked = f" ({sum(one.planned for one in by.blocked):,} blocked)" if by.blocked else ""
    return " and ".join(f"{decision} {by.alerts[decision]:,}" for decision in DECISIONS) + blocked


@op_job("publish")
def publish_rules_job(
    context: OpExecutionContext, config: PublishRulesConfig, mongo: MongoResource, rule_engine: RuleEngine, names: Names
) -> None:
    """Publish the rules of a file. Dry run by default; set dry_run: false to publish."""
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


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, default=str)
