"""The jobs that validate a rule file and export the published rules. They change nothing.

Comparing a file with the collection is a dry run of `publish_rules_job`, which validates it too.
"""

from dagster import MetadataValue, OpExecutionContext, job, op

from alert_pipelines.defs.config import ExportRulesConfig, ValidateRulesConfig
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import host_file
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.tables import table
from alert_pipelines.rules.against_alerts import warnings_against_alerts
from alert_pipelines.rules.files import default_rules, dump_rules, read_rules, write_rules
from alert_pipelines.rules.publish import export_rules
from alert_pipelines.rules.sentences import sentence
from alert_pipelines.rules.validation import warnings_of

_RULE_COLUMNS = ("rule", "source", "mode", "priority", "what it does")


@op
def validate(context: OpExecutionContext, config: ValidateRulesConfig, mongo: MongoResource) -> None:
    """Check a rule file; what is wrong with it fails the run and is named, all of it.

    Reads the database only if the rules are to be compared with the pending alerts.
    """
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


@op
def export(context: OpExecutionContext, config: ExportRulesConfig, mongo: MongoResource) -> None:
    """Show the published rules as a rule file, and write the file if the config names one."""
    with as_dagster_failure(), mongo.open() as db:
        rules = export_rules(db)
        if config.file:
            write_rules(host_file(config.file), rules)
    shown = MetadataValue.md(f"```yaml\n{dump_rules(rules)}```")
    context.add_output_metadata({"rules": len(rules), "rule file": shown})


@job
def validate_rules_job() -> None:
    """Check a rule file, or the default rules. Changes nothing."""
    validate()


@job
def export_rules_job() -> None:
    """Export the published rules as a rule file. Changes nothing."""
    export()
