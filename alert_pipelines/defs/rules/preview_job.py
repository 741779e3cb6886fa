"""The job that previews changed rules on the current alerts."""

from collections.abc import Iterable

from dagster import AssetObservation, OpExecutionContext, job, op

from alert_pipelines.audit.rule_preview import DECISIONS, PlannedBy, RulePreview, preview_rules
from alert_pipelines.defs.asset_specs import DRY_RUNS
from alert_pipelines.defs.config import PreviewRulesConfig
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.host_files import host_file
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.tables import table, without_empty
from alert_pipelines.rules.files import default_rules, parse_rules_text, read_rules
from alert_pipelines.rules.model import Rule

_GROUP_COLUMNS = ("change", "decision", "rule", "source", "status", "alerts")


@op
def preview(context: OpExecutionContext, config: PreviewRulesConfig, mongo: MongoResource, names: Names) -> None:
    """Compare what a scan would decide with the published rules and with the changed ones. Writes nothing."""
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


@job
def preview_rules_job() -> None:
    """Preview changed rules: what a scan would close and escalate, compared with the published rules."""
    preview()


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
