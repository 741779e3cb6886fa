"""Converts the report of a scan to Dagster's materializations, check results and observations.

Only translation: numbers come from the report and the job record, and nothing is read or decided here.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetObservation,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableMetadataValue,
)

from alert_pipelines.alerts.decision_counts import COUNT_COLUMNS, Decision, DecisionCount, count, limit_rows, truncate
from alert_pipelines.defs.asset_specs import (
    ALERT_RULES,
    CLOSED,
    DRY_RUNS,
    ESCALATED,
    JOBS,
    NO_ALERT_ERRORS,
    RECORDS_RECONCILE,
    RULES_VALID,
    SHADOW,
    WITHIN_LIMITS,
)
from alert_pipelines.defs.dagster_internals import MessageFailure
from alert_pipelines.defs.links import decided_alerts, limit_leads
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import Location
from alert_pipelines.defs.tables import MAX_LISTED, table, without_empty
from alert_pipelines.job_records import MAX_ERROR_CHARS
from alert_pipelines.rules.tree_words import reason_in_words
from alert_pipelines.scanner.result import Sample, ScanReport
from alert_pipelines.scanner.shadow import waiting
from alert_pipelines.timestamps import as_age

_NOT_RED_AGAIN = (
    "Later scheduled runs that the same limits block are green. This check stays red until nothing is blocked."
)
UNDO_OR_EXPLAIN = "undo or explain"
_FIRST = 3

_DONE: dict[Decision, str] = {"close": "closed", "escalate": "escalated"}
_PREVIEW_COLUMNS = ("rule", "source", "status", "severity", "decision", "alerts")
_SAMPLE_COLUMNS = ("rule and source", "decision", "alert", "reason")


def materializations(
    report: ScanReport, record: Mapping[str, Any] | None, database: str, own: Location | None, names: Names
) -> Iterator[MaterializeResult[None]]:
    """What a real scan did, by asset; `record` is its job record if that could be read, `own` where the run is from."""
    yield MaterializeResult(
        asset_key=names.key(ALERT_RULES),
        data_version=DataVersion(report.rule_set_version),
        metadata={
            "rule_set_version": report.rule_set_version,
            "invalid_rules": len(report.bad_rules),
            "database": database,
        },
    )
    yield MaterializeResult(
        asset_key=names.key(CLOSED),
        metadata=_decided(report, "close", own, names) | _shadow(report) | {"database": database},
    )
    yield MaterializeResult(
        asset_key=names.key(ESCALATED),
        metadata=_decided(report, "escalate", own, names) | {"database": database},
    )
    yield MaterializeResult(
        asset_key=names.key(JOBS),
        metadata={
            "job_id": report.job_id,
            "as_of": MetadataValue.timestamp(report.as_of),
            "pending": report.total_checked,
            **{f"pending {status.lower()}": alerts for status, alerts in report.pending.items()},
            "closed": report.closed,
            "escalated": report.escalated,
            "conflicts": report.conflicts,
            "blocked": report.blocked,
            "errors": len(report.errors),
            "duration_s": round(sum(report.seconds.values()), 3),
            **_oldest_pending(report),
            "database": database,
            **({"job record": MetadataValue.json(_plain(record))} if record else {}),
        },
    )


def check_results(
    report: ScanReport, first_blocked: Mapping[str, Any] | None, database: str, own: Location | None, names: Names
) -> Iterator[AssetCheckResult]:
    """The verdicts of a real scan. `first_blocked` is the record of the scan since which the same limits block."""

    def verdict(asset: str, check: str, fault: str | None, well: str, numbers: dict[str, Any]) -> AssetCheckResult:
        return AssetCheckResult(
            asset_key=names.key(asset),
            check_name=check,
            # Where alerts were left out the rest of the scan went through, so nobody is to be woken.
            severity=AssetCheckSeverity.WARN if check == NO_ALERT_ERRORS else AssetCheckSeverity.ERROR,
            passed=fault is None,
            description=well if fault is None else fault,
            metadata={**numbers, "database": database},
        )

    bad = report.bad_rules
    fault = f"These rules are not valid and were ignored. Fix them:{_first(bad)}" if bad else None
    yield verdict(ALERT_RULES, RULES_VALID, fault, "All rules are valid.", {"invalid": len(bad)} | _listed(bad))
    blocked = [violation.message for violation in report.violations]
    fault = _blocked(report, first_blocked, own, names) if blocked else None
    yield verdict(
        CLOSED, WITHIN_LIMITS, fault, "No limit was exceeded.", {"blocked": report.blocked} | _listed(blocked)
    )
    of_alerts = [error for error in report.errors if error not in (*bad, *report.defects)]
    fault = f"These alerts could not be processed; all others were:{_first(of_alerts)}" if of_alerts else None
    numbers = {"errors": len(of_alerts)} | _listed(of_alerts)
    yield verdict(JOBS, NO_ALERT_ERRORS, fault, "All alerts were processed.", numbers)
    disagree = f"The job record of {report.job_id} and the histories of its alerts disagree"
    lost = f"{disagree}. Keep the record and report a defect."
    numbers = {
        "planned": count(report.planned),
        "closed": report.closed,
        "escalated": report.escalated,
        "conflicts": report.conflicts,
        "failed": report.failed,
        "blocked": report.blocked,
    }
    well = "All planned decisions were written, blocked, conflicts, or failed."
    yield verdict(JOBS, RECORDS_RECONCILE, None if report.reconciles else lost, well, numbers)


def dry_run_materialization(report: ScanReport, database: str, names: Names) -> MaterializeResult[None]:
    """What a dry run found: on a separate asset, so that no scan's timeline shows it."""
    return MaterializeResult(
        asset_key=names.key(DRY_RUNS),
        metadata=without_empty(
            {
                "would close": count(report.planned, "close"),
                "would escalate": count(report.planned, "escalate"),
                "pending": report.total_checked,
                **({"blocked": _messages(report)} if report.violations else {}),
                "by rule and source": _count_table(report.planned),
                "by status and severity": table(_PREVIEW_COLUMNS, report.preview),
                "samples": table(_SAMPLE_COLUMNS, _cut(report.samples)),
                **_shadow(report),
                "errors": len(report.errors),
                **_listed(report.errors),
                "as_of": MetadataValue.timestamp(report.as_of),
                "database": database,
                "job_id": report.job_id,
            }
        ),
    )


def unconfirmed(report: ScanReport, database: str) -> MessageFailure:
    """The end of a scan that was to lift limits and that nobody confirmed; `report` is of the dry run made instead."""
    closed, escalated = (f"{count(report.planned, decision):,}" for decision in ("close", "escalate"))
    still = f" Still blocked: {_messages(report)}" if report.violations else ""
    return MessageFailure(
        f"Nothing was written: allow_over_limit lifts limits only with confirm: true. In {database} it would close "
        f"{closed} and escalate {escalated} alerts.{still} To do it, launch it again with confirm: true.",
        metadata=without_empty({"it would": table(_PREVIEW_COLUMNS, report.preview)}),
    )


def shadow_observation(report: ScanReport, database: str, names: Names) -> AssetObservation:
    """What each shadow rule would have done in a real scan, beside the active ones, as numbers that the UI plots."""
    would_be = {f"{rule_id}: would {decision}": 0 for rule_id in report.shadow_rules for decision in _DONE}
    for entry in report.shadow:
        would_be[f"{entry.rule_id}: would {entry.decision}"] += entry.alerts
    done: Counter[str] = Counter()
    for entry in report.decisions:
        done[f"{entry.rule_id}: {_DONE[entry.decision]}"] += entry.alerts
    return AssetObservation(
        names.key(SHADOW),
        description=f"Evaluated with {report.job_id}. Shadow rules write nothing.",
        metadata={
            "job_id": report.job_id,
            "as_of": MetadataValue.timestamp(report.as_of),
            "database": database,
            **would_be,
            **done,
            **({"waiting for their turn": waiting(report.shadow_left)} if report.shadow_left else {}),
        },
    )


def _count_table(counts: Iterable[DecisionCount]) -> TableMetadataValue:
    return table(COUNT_COLUMNS, limit_rows(counts))


def _cut(samples: Iterable[Sample]) -> Iterator[tuple[str, ...]]:
    for one in samples:
        # One below the other: side by side they would leave the reason no room.
        reason = reason_in_words(one.reason)
        yield f"{truncate(one.rule_id)}\n{truncate(one.source_type)}", *map(truncate, (*one[2:-1], reason))


def _table_without_decision(columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> TableMetadataValue:
    """`rows` but for their decision, which the name of the asset tells: the reason has more room."""
    at = columns.index("decision")
    columns, *others = ((*row[:at], *row[at + 1 :]) for row in (columns, *rows))
    return table(columns, others)


def _blocked(report: ScanReport, first_blocked: Mapping[str, Any] | None, own: Location | None, names: Names) -> str:
    leads = [limit_leads(own, names, dict.fromkeys(one.blocked for one in report.violations))] if own else []
    if first_blocked is None:
        return "\n\n".join([_messages(report), *leads])
    since = f"Blocked since {first_blocked['started_at']:%d %b %Y %H:%M} UTC, {first_blocked['job_id']}."
    return "\n\n".join([_messages(report), *leads, f"{since} {_NOT_RED_AGAIN}"])


def _messages(report: ScanReport) -> str:
    return " ".join(violation.message for violation in report.violations)


def _decided(report: ScanReport, decision: Decision, own: Location | None, names: Names) -> dict[str, Any]:
    decided = tuple(entry for entry in report.decisions if entry.decision == decision)
    samples = [sample for sample in report.samples if sample.decision == decision]
    leads = {UNDO_OR_EXPLAIN: decided_alerts(own, names, report.job_id, (sample.alert_id for sample in samples))}
    return without_empty(
        {
            # First, as whoever sees that too much was decided is to find it at once.
            **(leads if decided else {}),
            _DONE[decision]: count(decided),
            "by rule and source": _table_without_decision(COUNT_COLUMNS, limit_rows(decided)),
            "samples": _table_without_decision(_SAMPLE_COLUMNS, _cut(samples)),
        }
    )


def _shadow(report: ScanReport) -> dict[str, TableMetadataValue]:
    return {"shadow rules would have": _count_table(report.shadow)} if report.shadow else {}


def _listed(errors: Iterable[str]) -> dict[str, Any]:
    lines = [truncate(error, MAX_ERROR_CHARS) for error in errors]
    if not lines:
        return {}
    more = [f"… and {len(lines) - MAX_LISTED} more: see the job record"] if len(lines) > MAX_LISTED else []
    return {"list": MetadataValue.json([*lines[:MAX_LISTED], *more])}


def _first(errors: Sequence[str]) -> str:
    """The first errors as a list that is read without a click; the check's metadata has more."""
    more = [f"… and {len(errors) - _FIRST} more, listed below"] if len(errors) > _FIRST else []
    return "\n\n" + "\n".join(f"- {line}" for line in [*errors[:_FIRST], *more])


def _oldest_pending(report: ScanReport) -> dict[str, Any]:
    if report.oldest_pending is None:
        # Where something is pending, how old it is cannot be told.
        return {} if report.total_checked else {"oldest_pending_days": 0.0}
    # The number is for the plot, the text for people.
    return {
        "oldest pending": as_age(report.oldest_pending, report.as_of),
        "oldest_pending_days": round((report.as_of - report.oldest_pending) / timedelta(days=1), 3),
    }


def _plain(record: Mapping[str, Any]) -> Any:
    """Dates as ISO texts, all else as it is."""
    return json.loads(json.dumps(dict(record), default=lambda value: value.isoformat()))
