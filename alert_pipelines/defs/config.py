"""The config of jobs, as a person sets it in the Launchpad."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from dagster import Config
from pydantic import Field

from alert_pipelines.errors import InvalidTimestampError
from alert_pipelines.reports.activity import MAX_DAYS
from alert_pipelines.scanner.result import ALLOW_SCAN, ScanRequest
from alert_pipelines.signature import Signature
from alert_pipelines.timestamps import parse_timestamp

RuleFile = Annotated[
    str | None,
    Field(description="Rule file, YAML or JSON, on the host of the run. Empty: the default rules."),
]


class PlanConfig(Config):
    """What to scan. The defaults are what the schedule runs."""

    rules: list[str] = Field(
        default=[],
        description="Scan only these rules, by rule_id. 'expires_at' is the expiry of the alerts. Empty: all rules.",
    )
    as_of: str | None = Field(
        default=None,
        description="Scan as if it were this time: ISO 8601, in UTC without a zone. Empty: now.",
    )
    allow_over_limit: list[str] = Field(
        default=[],
        description=f"Lift the limits of these rules once; {ALLOW_SCAN!r} lifts the limits of the scan.",
    )
    by: str = Field(default="", description="Your name, stored in the job record.")
    reason: str = Field(default="", description="Reason for lifting the limits, stored in the job record.")

    def request(self, run_id: str, attempt: int) -> ScanRequest:
        """What is asked of the scan. Raises InvalidTimestampError, InvalidSignatureError."""
        return ScanRequest(
            as_of=read_time_setting("as_of", self.as_of),
            rule_ids=tuple(self.rules) or None,
            allow_over_limit=tuple(self.allow_over_limit),
            run_id=run_id,
            attempt=attempt,
            signature=Signature.of(self.by, self.reason),
        )


class ScanConfig(PlanConfig):
    """How to scan."""

    confirm: bool = Field(
        default=False,
        description="Set it to true to lift the limits in allow_over_limit. Otherwise such a run shows what it would "
        "do, writes nothing, and fails.",
    )

    def request(self, run_id: str, attempt: int) -> ScanRequest:
        """What is asked of the scan; a dry run if it would lift limits and nobody has confirmed that."""
        asked = super().request(run_id, attempt)
        return replace(asked, dry_run=bool(self.allow_over_limit) and not self.confirm)


class DryRunConfig(PlanConfig):
    """The settings of a scan that writes nothing."""

    def request(self, run_id: str, attempt: int) -> ScanRequest:
        """What is asked of the dry run. Raises as for a scan."""
        return replace(super().request(run_id, attempt), dry_run=True)


class PublishRulesConfig(Config):
    """Which rules to publish."""

    file: RuleFile = None
    overwrite: bool = Field(default=False, description="Also overwrite rules that a person changed.")
    dry_run: bool = Field(default=True, description="Only show what would change. Set it to false to publish.")
    by: str = Field(default="", description="Your name, stored in the history of the rules.")
    reason: str = Field(default="", description="Reason, stored in the history of the rules.")


class PreviewRulesConfig(Config):
    """Which rules to preview."""

    rules: str = Field(
        default="",
        description="The changed rules: paste the YAML of a rule file below `rules: |`. All other rules are used as "
        "published.",
    )
    file: str | None = Field(
        default=None,
        description="Rule file, YAML or JSON, on the host of the run, instead of rules. Both empty: the default rules.",
    )


class ValidateRulesConfig(Config):
    """Which rules to check."""

    file: RuleFile = None
    against_alerts: bool = Field(
        default=False,
        description="Also compare the rules with the alerts: sources, fields, kinds of values.",
    )


class ExportRulesConfig(Config):
    """Where the rules go."""

    file: str | None = Field(
        default=None,
        description="File to write on the host of the run; .json for JSON, otherwise YAML. Empty: only show the rules.",
    )


class LoadAlertsConfig(Config):
    """Which file to load and how to read it."""

    file: str = Field(description="CSV or JSON (also gzipped), Excel or Parquet file on the host of the run.")
    mapping: str | None = Field(default=None, description="File that maps columns to fields; see docs/loading.md.")
    preset: str | None = Field(
        default=None, description="Mapping of the package, such as pagerduty, instead of a mapping file."
    )
    until: str | None = Field(
        default=None, description="Load the file as it was at this time, in ISO 8601. Empty: the whole file."
    )
    update: bool = Field(
        default=False,
        description="Update existing alerts from the file. Decisions by rules and people are kept.",
    )
    put_away: bool = Field(
        default=False, description="Then move the file to the directory done or failed next to it, as the inbox does."
    )


class ExplainConfig(Config):
    """Which alert to explain."""

    alert_id: str = Field(description="The alert_id of the alert.")
    as_of: str | None = Field(
        default=None, description="Evaluate at this time: ISO 8601, in UTC without a zone. Empty: now."
    )


class DecisionsConfig(Config):
    """Whose decisions to list."""

    job_id: str = Field(description="The job_id of the job record. The run has it as the tag job_id.")


class UndoConfig(Config):
    """Which decisions to undo."""

    job_id: str = Field(
        description="The job_id of the job record, as in the run's tag job_id; latest: the last scan that decided "
        "anything."
    )
    rule: str | None = Field(default=None, description="Undo only the decisions of this rule, by rule_id. Empty: all.")
    allow_again: bool = Field(default=False, description="Let the rules decide these alerts again.")
    dry_run: bool = Field(default=True, description="Only show what would be undone. Set it to false to undo it.")
    by: str = Field(default="", description="Your name, stored in the job record.")
    reason: str = Field(default="", description="Reason, stored in the job record.")


class AddWindowsConfig(Config):
    """Which maintenance windows to add."""

    file: str = Field(description="File of maintenance windows, YAML or JSON, on the host of the run.")
    dry_run: bool = Field(default=True, description="Only show what would change. Set it to false to write.")
    by: str = Field(default="", description="Your name, stored in each window without created_by.")
    reason: str = Field(default="", description="Reason, stored in each window without one.")


class EndWindowConfig(Config):
    """Which maintenance window to end."""

    window_id: str = Field(description="The window_id of the window; list_windows_job shows it.")
    dry_run: bool = Field(default=True, description="Only show what would be ended. Set it to false to end it.")
    by: str = Field(default="", description="Your name, stored in the window.")
    reason: str = Field(default="", description="Reason, stored in the window.")


class SnoozeConfig(Config):
    """Which alert to snooze, and for how long."""

    alert_id: str = Field(description="The alert_id of the alert.")
    duration: str = Field(description="Minutes, hours or days, such as 90m, 8h or 2d.")
    reason: str = Field(description="Reason, shown by explain_alert_job.")
    by: str = Field(description="Your name.")


class BacktestConfig(Config):
    """Which rules to back-test, and where the report goes."""

    rules_file: str | None = Field(
        default=None,
        description="Rule file, YAML or JSON, on the host of the run. Empty: the published rules, active and shadow.",
    )
    report_dir: str | None = Field(
        default=None, description="Directory for the reports on the host of the run. Empty: backtests in DAGSTER_HOME."
    )


class DailyReportConfig(Config):
    """How many days the report covers, and where it goes."""

    days: int = Field(
        default=30, ge=1, le=MAX_DAYS, description="Number of days, ending with the day of the partition."
    )
    report_dir: str | None = Field(
        default=None, description="Directory for the reports on the host of the run. Empty: reports in DAGSTER_HOME."
    )


def read_time_setting(name: str, text: str | None) -> datetime | None:
    """The time that the setting `name` holds; None where it is None or blank. Raises InvalidTimestampError."""
    if text is None or not text.strip():
        return None
    try:
        return parse_timestamp(text)
    except InvalidTimestampError as error:
        raise InvalidTimestampError(f"{name}: {error}") from error
