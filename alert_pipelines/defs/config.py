"""What a person can set in the Launchpad, or in the config of a launch."""

from dataclasses import replace
from datetime import datetime

from dagster import Config
from pydantic import Field

from alert_pipelines.errors import InvalidTimestampError
from alert_pipelines.reports.activity import MAX_DAYS
from alert_pipelines.scanner.report import ALLOW_SCAN, ScanRequest
from alert_pipelines.signature import Signature
from alert_pipelines.timestamps import parse_timestamp


class PlanConfig(Config):
    """What to scan. The defaults are what the schedule runs."""

    rules: list[str] = Field(
        default=[],
        description="Only these rules, by rule_id; 'expires_at' is the alerts' own expiry. Empty: all rules.",
    )
    as_of: str | None = Field(
        default=None,
        description="Scan as if it were this time, in ISO 8601, UTC where it names no zone. Empty: now.",
    )
    allow_over_limit: list[str] = Field(
        default=[],
        description=f"Rules whose limits are lifted this once; {ALLOW_SCAN!r} lifts the scan's own.",
    )
    by: str = Field(default="", description="Who lifts the limits, kept in the record.")
    reason: str = Field(default="", description="Why the limits are lifted, kept in the record.")

    def request(self, run_id: str, attempt: int) -> ScanRequest:
        """What is asked of the scan. Raises InvalidTimestampError, InvalidSignatureError."""
        return ScanRequest(
            as_of=parse_instant("as_of", self.as_of),
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
        description="Set it to true to lift the limits of allow_over_limit. Until then such a run fails, shows what it "
        "would do, and writes nothing.",
    )

    def request(self, run_id: str, attempt: int) -> ScanRequest:
        """What is asked of the scan; a dry run if it would lift limits and nobody has confirmed that."""
        asked = super().request(run_id, attempt)
        return replace(asked, dry_run=bool(self.allow_over_limit) and not self.confirm)


class DryRunConfig(PlanConfig):
    """What a scan would have: its settings, and nothing is written."""

    def request(self, run_id: str, attempt: int) -> ScanRequest:
        """What is asked of the dry run. Raises as for a scan."""
        return replace(super().request(run_id, attempt), dry_run=True)


class PublishRulesConfig(Config):
    """Which rules to publish."""

    file: str | None = Field(
        default=None, description="A rule file, YAML or JSON, on the host of the run. Empty: the package's own rules."
    )
    overwrite: bool = Field(default=False, description="Also overwrite rules that a person changed.")
    dry_run: bool = Field(default=True, description="Only show what would change. Set it to false to publish.")
    by: str = Field(default="", description="Your name, kept in the history of the rules.")
    reason: str = Field(default="", description="Reason, kept in the history of the rules.")


class PreviewRulesConfig(Config):
    """Which rules to preview."""

    rules: str = Field(
        default="",
        description="The changed rules, in YAML as in a rule file, pasted here below `rules: |`. The others stay as "
        "they are in force.",
    )
    file: str | None = Field(
        default=None,
        description="Instead: a rule file, YAML or JSON, on the host of the run. Both empty: the package's own rules.",
    )


class ValidateRulesConfig(Config):
    """Which rules to check."""

    file: str | None = Field(
        default=None, description="A rule file, YAML or JSON, on the host of the run. Empty: the package's own rules."
    )
    against_alerts: bool = Field(
        default=False,
        description="Warn also of tests that cannot hold, since pending alerts keep the field as another kind.",
    )


class ExportRulesConfig(Config):
    """Where the rules go."""

    file: str | None = Field(
        default=None,
        description="The file to write, YAML or, by its name, JSON, on the host of the run. Empty: only shown.",
    )


class LoadAlertsConfig(Config):
    """Which file to load and how to read it."""

    file: str = Field(description="A CSV or JSON file (also gzipped), Excel or Parquet, on the host of the run.")
    mapping: str | None = Field(
        default=None, description="The mapping file that says which column is what; see docs/loading.md."
    )
    preset: str | None = Field(
        default=None, description="Instead of a mapping file: a mapping of the package, such as pagerduty."
    )
    until: str | None = Field(
        default=None, description="Load the file as it stood at this time, in ISO 8601. Empty: all of it."
    )
    update: bool = Field(
        default=False,
        description="Alerts that are there take over what the source changed since; what was decided here stays.",
    )
    put_away: bool = Field(
        default=False, description="Move the file to done or failed beside it afterwards, as the inbox does."
    )


class ExplainConfig(Config):
    """Which alert to explain."""

    alert_id: str = Field(description="The alert's alert_id.")
    as_of: str | None = Field(
        default=None, description="Judge it at this time, in ISO 8601, UTC where it names no zone. Empty: now."
    )


class DecisionsConfig(Config):
    """Whose decisions to list."""

    job_id: str = Field(description="The job record's job_id; a run's tag job_id names it.")


class UndoConfig(Config):
    """Which decisions to take back."""

    job_id: str = Field(
        description="The job record's job_id; a run's tag job_id names it. latest: the last scan that decided anything."
    )
    rule: str | None = Field(default=None, description="Only this rule's decisions, by rule_id. Empty: all.")
    allow_again: bool = Field(default=False, description="Let the rules decide these alerts again.")
    dry_run: bool = Field(default=True, description="Only show what would be taken back. Set it to false to do it.")
    by: str = Field(default="", description="Your name, kept in the record.")
    reason: str = Field(default="", description="Reason, kept in the record.")


class AddWindowsConfig(Config):
    """Which maintenance windows to add."""

    file: str = Field(description="A file of maintenance windows, YAML or JSON, on the host of the run.")
    dry_run: bool = Field(default=True, description="Only show what would change. Set it to false to write.")
    by: str = Field(default="", description="Your name, kept with each window that names no created_by.")
    reason: str = Field(default="", description="Reason, kept with each window that names none.")


class EndWindowConfig(Config):
    """Which maintenance window to end."""

    window_id: str = Field(description="The window's window_id; list_windows_job shows it.")
    dry_run: bool = Field(default=True, description="Only show what would be ended. Set it to false to do it.")
    by: str = Field(default="", description="Your name, kept with the window.")
    reason: str = Field(default="", description="Reason, kept with the window.")


class SnoozeConfig(Config):
    """Which alert to leave undecided, and for how long."""

    alert_id: str = Field(description="The alert's alert_id.")
    duration: str = Field(description="Minutes, hours or days, such as 90m, 8h or 2d.")
    reason: str = Field(description="Reason, shown where the alert is explained.")
    by: str = Field(description="Who asks for it.")


class BacktestConfig(Config):
    """Which rules to back-test, and where the report goes."""

    rules_file: str | None = Field(
        default=None,
        description="A rule file, YAML or JSON, on the host of the run. Empty: the collection's, shadow ones too.",
    )
    report_dir: str | None = Field(
        default=None, description="Where the reports go, on the host of the run. Empty: backtests in DAGSTER_HOME."
    )


class DailyReportConfig(Config):
    """How many days the report covers, and where it goes."""

    days: int = Field(
        default=30, ge=1, le=MAX_DAYS, description="Number of days, ending with the day of the partition."
    )
    report_dir: str | None = Field(
        default=None, description="Where the reports go, on the host of the run. Empty: reports in DAGSTER_HOME."
    )


def parse_instant(name: str, text: str | None) -> datetime | None:
    """The time that the setting `name` holds; None where it is None or blank. Raises InvalidTimestampError."""
    if text is None or not text.strip():
        return None
    try:
        return parse_timestamp(text)
    except InvalidTimestampError as error:
        raise InvalidTimestampError(f"{name}: {error}") from error
