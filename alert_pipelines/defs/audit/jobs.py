"""The jobs that explain one alert, and list or undo the decisions of one job.

They show the results of `audit.explain`, `audit.decisions` and `audit.undo` as tables on the page of the run.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from dagster import AssetKey, AssetObservation, MetadataValue, OpExecutionContext

from alert_pipelines.audit.decisions import (
    PastDecision,
    decisions_of_alert,
    decisions_of_job,
    matched_in_words,
    tally_of_job,
)
from alert_pipelines.audit.explain import ClauseResult, Explanation, explain_alert
from alert_pipelines.audit.undo import UndoReport, undo_job
from alert_pipelines.defs.asset_specs import ALERTS
from alert_pipelines.defs.background_jobs import op_job
from alert_pipelines.defs.config import DecisionsConfig, ExplainConfig, UndoConfig, read_time_setting
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.scan.run_records import disown_tags, record_of_run, run_of_job, tag_run
from alert_pipelines.defs.tables import MAX_LISTED, table, unbroken, without_empty
from alert_pipelines.rules.maintenance import why_it_holds
from alert_pipelines.rules.model import Mode
from alert_pipelines.rules.tree_words import reason_in_words
from alert_pipelines.signature import Signature

# Few columns: the run's page gives a table little room.
_TEST_COLUMNS = ("rule", "test", "holds")
_RULE_COLUMNS = ("rule", "description")
_EVIDENCE_COLUMNS = ("rule", "condition", "newest", "more")
_WINDOW_COLUMNS = ("from", "to", "of", "reason")
_PAST_COLUMNS = ("decided", "from, to", "why")
_TALLY_COLUMNS = ("rule", "source", "to", "alerts", "undone")
_BY_RULE_COLUMNS = ("rule", "from", "to", "alerts")
_RESTORED_COLUMNS = ("alert", "rule", "from", "to")
_SKIPPED_COLUMNS = ("alert", "why")
_DECIDED_COLUMNS = ("alert", "from", "to", "rule", "reason")

MAX_DECISIONS = 1_000
"""The most decisions that a page lists; the command line lists all."""


@op_job("explain")
def explain_alert_job(context: OpExecutionContext, config: ExplainConfig, mongo: MongoResource) -> None:
    """Explain one alert: each test of each rule, what a scan would do, and past decisions."""
    with as_dagster_failure(), mongo.open() as db:
        explanation = explain_alert(db, config.alert_id, as_of=read_time_setting("as_of", config.as_of))
        past = decisions_of_alert(db, config.alert_id)
    context.log.info("%s: %s", explanation.alert_id, explanation.answer)
    context.add_output_metadata(_explained(explanation, past))


@op_job("list_decisions")
def list_decisions_job(context: OpExecutionContext, config: DecisionsConfig, mongo: MongoResource) -> None:
    """List the alerts that one job closed and escalated."""
    with as_dagster_failure(), mongo.open() as db:
        tally = tally_of_job(db, config.job_id)
        decisions = list(islice(decisions_of_job(db, config.job_id), MAX_DECISIONS))
    total = sum(row.alerts for row in tally)
    found = {
        "decisions": total,
        "by rule and source": table(
            _TALLY_COLUMNS, ((*row[:2], str(row.to_status), row.alerts, row.undone) for row in tally)
        ),
        "alerts": table(_DECIDED_COLUMNS, map(_decided_row, decisions)),
        "all of them": f"alert-pipelines jobs show {config.job_id} --alerts" if total > len(decisions) else None,
    }
    context.add_output_metadata(without_empty(found))


# `undo_job` is the function that does it; the job of the UI has its name.
@op_job("undo", name="undo_job")
def undo_decisions_job(context: OpExecutionContext, config: UndoConfig, mongo: MongoResource, names: Names) -> None:
    """Undo the decisions of one job. Dry run by default; set dry_run: false to undo them."""
    disown_tags(context.instance, names, context.run)
    with as_dagster_failure(), mongo.open() as db:
        report = undo_job(
            db,
            config.job_id,
            rule_id=config.rule or None,
            allow_again=config.allow_again,
            dry_run=config.dry_run,
            run_id=context.run_id,
            signature=Signature.of(config.by, config.reason),
        )
        undone_run, database = run_of_job(db, report.job_id), db.name
        record = record_of_run(db, context.run_id)
        if record is not None:
            tag_run(context.instance, names, context.run_id, db.name, record)
    context.log_event(_undone(report, undone_run, database, names.key(ALERTS)))


def _explained(explanation: Explanation, past: Iterable[PastDecision]) -> dict[str, Any]:
    decisions = list(past)
    found: dict[str, MetadataValue[Any] | None] = {
        # A text is shown as it is, where Markdown would hide behind a link.
        "explanation": MetadataValue.text(explanation.answer),
        "alert": MetadataValue.text(_as_it_stands(explanation)),
        "decided before": table(_PAST_COLUMNS, (_past_row(one.entry) for one in decisions)),
        **{
            f"run of {one.entry['job_id']}": MetadataValue.dagster_run(one.entry["run_id"])
            for one in decisions
            if isinstance(one.entry.get("run_id"), str)
        },
        "clauses and tests": table(
            _TEST_COLUMNS, (row for clause in explanation.clauses for row in _test_rows(clause))
        ),
        "rules that concern it": table(_RULE_COLUMNS, explanation.rules.items()),
        "evidence": table(
            _EVIDENCE_COLUMNS,
            (
                (clause.rule_id, clause.condition, ", ".join(clause.evidence), clause.evidence_not_named)
                for clause in explanation.clauses
                if clause.evidence_total
            ),
        ),
        "maintenance windows that cover it": table(
            _WINDOW_COLUMNS,
            (
                (_in_two_lines(span.start), _in_two_lines(span.end), window.alerts, why_it_holds(window))
                for window in explanation.windows
                if (span := window.span_about(explanation.timestamp, explanation.as_of))
            ),
        ),
        "malformed": MetadataValue.text("\n".join(explanation.malformed)) if explanation.malformed else None,
        "cannot be read": MetadataValue.json(list(explanation.problems)) if explanation.problems else None,
        **{
            f"rule {one.rule['rule_id']} in {one.entry['rule_set_version'][:12]}": MetadataValue.json(one.rule)
            for one in decisions
            if one.rule is not None
        },
    }
    return without_empty(found)


def _as_it_stands(explanation: Explanation) -> str:
    return (
        f"{explanation.alert_id}: {explanation.source_type}, {explanation.status}, timestamp "
        f"{_text(explanation.timestamp)}. As of {explanation.as_of.isoformat(timespec='seconds')}, by rule set version "
        f"{explanation.rule_set_version[:12]}."
    )


def _test_rows(clause: ClauseResult) -> Iterator[tuple[str, ...]]:
    shadow = "" if clause.mode is Mode.ACTIVE else f" ({clause.mode})"
    rule = f"{clause.rule_id}{shadow}: {clause.decision}, {'due' if clause.due else 'not due'}\n{clause.condition}"
    for test in clause.tests:
        asked = reason_in_words(test.description)
        values = test.values_in_words
        yield rule, f"{asked}\n{values}" if values else asked, _yes_or_no(test.holds)
    # What depends on other alerts is none of the tests of this one.
    if clause.description not in {test.description for test in clause.tests}:
        yield rule, reason_in_words(clause.description), _yes_or_no(clause.due)


def _yes_or_no(holds: bool) -> str:
    return "yes" if holds else "NO"


def _decided_row(one: PastDecision) -> tuple[str, ...]:
    fields = (_text(one.entry.get(name)) for name in ("from_status", "to_status", "rule_triggered"))
    return one.alert_id, *fields, reason_in_words(_text(one.entry.get("reason")))


def _past_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """When, from what to what, and why: few columns, as each takes room from the others."""
    before, after = _text(entry.get("from_status")), _text(entry.get("to_status"))
    why = [
        reason_in_words(_text(entry.get("reason"))),
        *([matched] if (matched := matched_in_words(entry)) else []),
        *([f"as of {_in_one_line(entry['as_of'])}"] if entry.get("as_of") else []),
        *([] if entry.get("rule_triggered") else [f"by {_text(entry.get('triggered_by'))}"]),
        *([str(entry["job_id"])] if entry.get("job_id") else []),
    ]
    return _in_two_lines(entry.get("timestamp")), f"{before},\n{after}", "\n".join(why)


def _in_one_line(at: Any) -> str:
    return unbroken(f"{at:%d %b %Y %H:%M} UTC") if isinstance(at, datetime) else _text(at)


def _in_two_lines(at: Any) -> str:
    return unbroken(f"{at:%d %b %Y}\n{at:%H:%M} UTC") if isinstance(at, datetime) else _text(at)


def _undone(report: UndoReport, undone_run: str | None, database: str, alerts: AssetKey) -> AssetObservation:
    did, left = ("would be restored", "would be skipped") if report.dry_run else ("restored", "skipped")
    metadata = {
        "undone job": report.job_id,
        "database": database,
        "run of the undone job": MetadataValue.dagster_run(undone_run) if undone_run else None,
        "undo's own job": report.undo_job_id,
        did: report.restored,
        left: report.skipped_total,
        "already undone": report.already_undone or None,
        f"{did} by rule": table(_BY_RULE_COLUMNS, report.by_rule()),
        f"{did}: alerts": table(_RESTORED_COLUMNS, report.alerts[:MAX_LISTED]),
        f"{left}: touched since": table(_SKIPPED_COLUMNS, report.skipped[:MAX_LISTED]),
    }
    return AssetObservation(
        alerts,
        description=f"What an undo of {report.job_id} would do; nothing was written."
        if report.dry_run
        else f"Undo of {report.job_id}.",
        metadata=without_empty(metadata),
    )


def _text(value: Any) -> str:
    return "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
