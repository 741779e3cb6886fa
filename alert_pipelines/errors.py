"""Every error that this package raises for a person to act upon; each message says what is wrong and what to do.

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

What MongoDB's driver raises (`pymongo.errors.PyMongoError`) passes through as it is.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alert_pipelines.scanner.report import ScanReport

MAX_PROBLEMS = 20
"""How many problems of one rule or window a message holds."""


class AlertPipelinesError(Exception):
    """The base of them all: something that a person can act upon."""


class SettingsError(AlertPipelinesError):
    """Raised when environment variables are not valid settings; the message names each that is wrong."""


class InvalidTimestampError(AlertPipelinesError):
    """Raised when a timestamp is not valid, or outside the years that can be used."""


class InvalidSignatureError(AlertPipelinesError):
    """Raised when a name or a reason is too long."""


class EventLoopError(AlertPipelinesError):
    """Raised when a function that blocks is called in an event loop."""


class MongoConnectionError(AlertPipelinesError):
    """Raised when the MongoDB server cannot be reached, or cannot be worked with."""


class MongoAuthenticationError(MongoConnectionError):
    """Raised when the MongoDB server refuses the user, or requires one."""


class LocalMongodError(AlertPipelinesError):
    """Raised when the local mongod cannot be started, reached or stopped."""


class UnusableDatabaseError(AlertPipelinesError):
    """Raised when what was given as the database of the alerts cannot be used."""


class IndexConflictError(AlertPipelinesError):
    """Raised when an index that the project needs cannot be created as it has to be."""


class DuplicateKeyValuesError(IndexConflictError):
    """Raised when documents that are there already violate an index that is to be unique."""


class AlertNotFoundError(AlertPipelinesError):
    """Raised when no alert has the id."""


class SharedAlertIdError(AlertPipelinesError):
    """Raised when more than one alert has the id."""


class RuleError(AlertPipelinesError):
    """Raised when one rule is not valid; `problems` are all that is wrong with it, each with its path."""

    def __init__(self, rule_id: Any, problems: Sequence[str]) -> None:
        super().__init__(f"rule {rule_id!r:.200}: {limit_problems(problems)}")
        self.rule_id = rule_id
        self.problems = tuple(problems)


class RuleFileError(AlertPipelinesError):
    """Raised when a rule file is not valid; the message holds everything that is wrong with it."""


class WindowFileError(RuleFileError):
    """Raised when a file of maintenance windows is not valid; the message holds everything that is wrong with it."""


class RuleIdTakenError(AlertPipelinesError):
    """Raised when a rule cannot be written since the collection holds another under the same id."""


class UnusableRulesError(AlertPipelinesError):
    """Raised when stored rules cannot be used, so that a file of all rules would lack them; `errors` name each."""

    def __init__(self, errors: Sequence[RuleError]) -> None:
        which = "1 rule" if len(errors) == 1 else f"{len(errors)} rules"
        lines = [f"{which} cannot be exported, so nothing was. Fix or delete:", *map(str, errors)]
        super().__init__("\n  ".join(lines))
        self.errors = tuple(errors)


class UnknownVersionError(AlertPipelinesError):
    """Raised when no rule set, or more than one, is meant by what was given as a version."""


class CalendarNotFoundError(AlertPipelinesError):
    """Raised when a rule is compiled whose calendar was not looked up."""


class InvalidWindowError(AlertPipelinesError):
    """Raised when a maintenance window cannot be added or ended as asked."""


class WindowNotFoundError(AlertPipelinesError):
    """Raised when no maintenance window has the id."""


class InvalidScanError(AlertPipelinesError):
    """Raised when a scan is asked for that cannot be made."""


class UnknownChangesError(AlertPipelinesError):
    """Raised when the alerts that changed since an earlier scan cannot be known; the message says why."""


class ScanIncompleteError(AlertPipelinesError):
    """Raised when a scan ended without doing all that was due; `report` lists what it did."""

    def __init__(self, report: "ScanReport", reasons: Iterable[str]) -> None:
        super().__init__(" ".join(reasons))
        self.report = report


class BlastRadiusError(ScanIncompleteError):
    """Raised when limits blocked closes or escalations; all else of the scan was done."""

    def __init__(self, report: "ScanReport") -> None:
        super().__init__(report, (violation.message for violation in report.violations))


class RuleQueryError(ScanIncompleteError):
    """Raised when the query of a rule failed, so that nobody knows what the rule would have decided."""

    def __init__(self, report: "ScanReport") -> None:
        super().__init__(report, [*report.failed_rules, *(violation.message for violation in report.violations)])


class JobRecordError(AlertPipelinesError):
    """Raised when a job record cannot be written or read as asked."""


class JobNotFoundError(JobRecordError):
    """Raised when no record has the job id."""


class InvalidJobStatusError(JobRecordError):
    """Raised when a status is not running, completed or failed."""


class InvalidJobTypeError(JobRecordError):
    """Raised when a job type is not a valid name."""


class InvalidLimitError(JobRecordError):
    """Raised when a limit is not an integer from 1 to 1000."""


class JobEndedError(JobRecordError):
    """Raised when the record has ended already, by its owner or as stalled."""


class ScanAlreadyRunningError(JobRecordError):
    """Raised when another scan holds the claim."""


class LeaseLostError(JobRecordError):
    """Raised when this scan no longer holds the claim, so that it must stop writing."""


class UndoError(AlertPipelinesError):
    """Raised when there is nothing that could be undone as asked."""


class SlowListError(AlertPipelinesError):
    """Raised when the server needs too long to find the alerts of a list."""


class BacktestError(AlertPipelinesError):
    """Raised when a back-test is asked for that cannot be made."""


class EmptyBacktestError(AlertPipelinesError):
    """Raised when a report of back-tests is given no day."""


class ReportError(AlertPipelinesError):
    """Raised when a daily report is asked for that cannot be made."""


class ReportFileError(AlertPipelinesError):
    """Raised when a report cannot be written where it was asked for."""


class ActivityTimeoutError(AlertPipelinesError):
    """Raised when the server needs longer for a report than it was given."""


class MappingError(AlertPipelinesError):
    """Raised when a mapping cannot be read, or holds something that is not in its language."""


class LoadError(AlertPipelinesError):
    """Raised when a file cannot be loaded at all."""


class InboxError(AlertPipelinesError):
    """Raised when the inbox cannot be read."""


class MetricsError(AlertPipelinesError):
    """Raised when metrics cannot be served or written as asked."""


class NotificationError(AlertPipelinesError):
    """Raised when a message did not reach its receiver, or cannot reach any."""


class SchedulerError(AlertPipelinesError):
    """Raised when the scheduler cannot be switched or asked."""


class ForbiddenFileError(AlertPipelinesError):
    """Raised when a run's config names a file of the system, or one that is not a regular file."""


class NothingDeletedError(AlertPipelinesError):
    """Raised when it is not known which runs may be deleted, so that none was."""


def limit_problems(problems: Sequence[str]) -> str:
    """`problems` in one line: what they quote may be of any length, and is shown in the job record and the UI."""
    more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
    return "; ".join([f"{problem:.500}" for problem in problems[:MAX_PROBLEMS]] + more)
