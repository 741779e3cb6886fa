"""The errors that this package raises for a person to act upon. Each message says what is wrong and what to do.

    AlertPipelinesError
    ├── SettingsError
    ├── InvalidTimestampError
    ├── InvalidSignatureError
    ├── EventLoopError
    ├── MongoConnectionError
    │   └── MongoAuthenticationError
    ├── LocalMongodError
    ├── UnusableDatabaseError
    ├── IndexConflictError
    │   └── DuplicateKeyValuesError
    ├── AlertNotFoundError
    ├── SharedAlertIdError
    ├── RuleError
    ├── RuleFileError
    │   └── WindowFileError
    ├── RuleIdTakenError
    ├── UnusableRulesError
    ├── UnknownVersionError
    ├── CalendarNotFoundError
    ├── InvalidWindowError
    ├── WindowNotFoundError
    ├── InvalidScanError
    ├── UnknownChangesError
    ├── ScanIncompleteError
    │   ├── BlastRadiusError
    │   └── RuleQueryError
    ├── JobRecordError
    │   ├── JobNotFoundError
    │   ├── InvalidJobStatusError
    │   ├── InvalidJobTypeError
    │   ├── InvalidLimitError
    │   ├── JobEndedError
    │   ├── ScanAlreadyRunningError
    │   └── LeaseLostError
    ├── UndoError
    ├── SlowListError
    ├── BacktestError
    ├── EmptyBacktestError
    ├── ReportError
    ├── ReportFileError
    ├── ActivityTimeoutError
    ├── MappingError
    ├── LoadError
    ├── InboxError
    ├── MetricsError
    ├── NotificationError
    ├── SchedulerError
    ├── ForbiddenFileError
    └── NothingDeletedError

Errors of MongoDB's driver (`pymongo.errors.PyMongoError`) are not wrapped.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alert_pipelines.scanner.result import ScanReport

MAX_PROBLEMS = 20
"""The maximum number of problems of one rule or window in a message."""


class AlertPipelinesError(Exception):
    """Base class of all errors that this package raises for a person to act upon."""


class SettingsError(AlertPipelinesError):
    """Raised when environment variables are not valid settings; the message names each that is wrong."""


class InvalidTimestampError(AlertPipelinesError):
    """Raised when a timestamp is not valid, or outside the supported years."""


class InvalidSignatureError(AlertPipelinesError):
    """Raised when a name or a reason is too long."""


class EventLoopError(AlertPipelinesError):
    """Raised when a blocking function is called in an event loop."""


class MongoConnectionError(AlertPipelinesError):
    """Raised when the MongoDB server cannot be reached or used."""


class MongoAuthenticationError(MongoConnectionError):
    """Raised when the MongoDB server refuses the user, or requires one."""


class LocalMongodError(AlertPipelinesError):
    """Raised when the local mongod cannot be started, reached or stopped."""


class UnusableDatabaseError(AlertPipelinesError):
    """Raised when the given database cannot be used, such as one of an asynchronous client."""


class IndexConflictError(AlertPipelinesError):
    """Raised when a required index cannot be created."""


class DuplicateKeyValuesError(IndexConflictError):
    """Raised when existing documents violate a unique index."""


class AlertNotFoundError(AlertPipelinesError):
    """Raised when no alert has the id."""


class SharedAlertIdError(AlertPipelinesError):
    """Raised when more than one alert has the id."""


class RuleError(AlertPipelinesError):
    """Raised when a rule is not valid. `problems` lists each problem with its path."""

    def __init__(self, rule_id: Any, problems: Sequence[str]) -> None:
        super().__init__(f"rule {rule_id!r:.200}: {limit_problems(problems)}")
        self.rule_id = rule_id
        self.problems = tuple(problems)


class RuleFileError(AlertPipelinesError):
    """Raised when a rule file is not valid. The message lists all problems."""


class WindowFileError(RuleFileError):
    """Raised when a file of maintenance windows is not valid. The message lists all problems."""


class RuleIdTakenError(AlertPipelinesError):
    """Raised when a rule cannot be written because the collection has another one with the same id."""


class UnusableRulesError(AlertPipelinesError):
    """Raised when rules cannot be exported because some are not valid. `errors` lists them."""

    def __init__(self, errors: Sequence[RuleError]) -> None:
        which = "1 rule" if len(errors) == 1 else f"{len(errors)} rules"
        lines = [f"{which} cannot be exported, so nothing was. Fix or delete:", *map(str, errors)]
        super().__init__("\n  ".join(lines))
        self.errors = tuple(errors)


class UnknownVersionError(AlertPipelinesError):
    """Raised when no rule set, or more than one, has the given version."""


class CalendarNotFoundError(AlertPipelinesError):
    """Raised when a rule is compiled whose calendar was not looked up."""


class InvalidWindowError(AlertPipelinesError):
    """Raised when a maintenance window cannot be added or ended as asked."""


class WindowNotFoundError(AlertPipelinesError):
    """Raised when no maintenance window has the id."""


class InvalidScanError(AlertPipelinesError):
    """Raised when the options of a scan are not valid."""


class UnknownChangesError(AlertPipelinesError):
    """Raised when it is unknown which alerts changed since an earlier scan. The message says why."""


class ScanIncompleteError(AlertPipelinesError):
    """Raised when a scan could not do everything that was due. `report` lists what it did, `reasons` why not more."""

    def __init__(self, report: "ScanReport", reasons: Iterable[str]) -> None:
        self.report, self.reasons = report, tuple(reasons)
        super().__init__(" ".join(self.reasons))


class BlastRadiusError(ScanIncompleteError):
    """Raised when limits blocked closes or escalations. The scan did everything else."""

    def __init__(self, report: "ScanReport") -> None:
        super().__init__(report, (violation.message for violation in report.violations))


class RuleQueryError(ScanIncompleteError):
    """Raised when the query of a rule failed, so its decisions are unknown."""

    def __init__(self, report: "ScanReport") -> None:
        super().__init__(report, [*report.failed_rules, *(violation.message for violation in report.violations)])


class JobRecordError(AlertPipelinesError):
    """Raised when a job record cannot be written or read."""


class JobNotFoundError(JobRecordError):
    """Raised when no record has the job id."""


class InvalidJobStatusError(JobRecordError):
    """Raised when a status is not running, completed or failed."""


class InvalidJobTypeError(JobRecordError):
    """Raised when a job type is not a valid name."""


class InvalidLimitError(JobRecordError):
    """Raised when a limit is not an integer from 1 to 1000."""


class JobEndedError(JobRecordError):
    """Raised when the record has already ended, by its owner or as stalled."""


class ScanAlreadyRunningError(JobRecordError):
    """Raised when another scan holds the claim."""


class LeaseLostError(JobRecordError):
    """Raised when a scan lost its claim and must stop writing."""


class UndoError(AlertPipelinesError):
    """Raised when a job cannot be undone."""


class SlowListError(AlertPipelinesError):
    """Raised when the server needs too long to find the alerts of a list."""


class BacktestError(AlertPipelinesError):
    """Raised when the options of a back-test are not valid, or it cannot be computed."""


class EmptyBacktestError(AlertPipelinesError):
    """Raised when a report of back-tests has no day."""


class ReportError(AlertPipelinesError):
    """Raised when the options of a daily report are not valid."""


class ReportFileError(AlertPipelinesError):
    """Raised when the file of a report cannot be written."""


class ActivityTimeoutError(AlertPipelinesError):
    """Raised when a report takes too long on the server."""


class MappingError(AlertPipelinesError):
    """Raised when a mapping cannot be read or is not valid."""


class LoadError(AlertPipelinesError):
    """Raised when a file cannot be loaded at all."""


class InboxError(AlertPipelinesError):
    """Raised when the inbox cannot be read."""


class MetricsError(AlertPipelinesError):
    """Raised when metrics cannot be served or written."""


class NotificationError(AlertPipelinesError):
    """Raised when a message could not be sent."""


class SchedulerError(AlertPipelinesError):
    """Raised when the scheduler cannot be switched or queried."""


class ForbiddenFileError(AlertPipelinesError):
    """Raised when a run's config names a file of the system, or one that is not a regular file."""


class NothingDeletedError(AlertPipelinesError):
    """Raised when no run was deleted, because it is unknown which may be."""


def limit_problems(problems: Sequence[str]) -> str:
    """`problems` in one line: what they quote may be of any length, and is shown in the job record and the UI."""
    more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
    return "; ".join([f"{problem:.500}" for problem in problems[:MAX_PROBLEMS]] + more)
