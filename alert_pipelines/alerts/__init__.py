"""The alert: its document and fields (`model`), filters, collection and indexes, its history, counts of the pending.

What is decided about alerts belongs to `rules` and `scanner`; nothing here looks at a rule.
"""

from alert_pipelines.alerts.collection import COLLECTION as COLLECTION
from alert_pipelines.alerts.collection import INDEXES as INDEXES
from alert_pipelines.alerts.collection import alert_key as alert_key
from alert_pipelines.alerts.collection import ensure_indexes as ensure_indexes
from alert_pipelines.alerts.collection import find_alert as find_alert
from alert_pipelines.alerts.filters import A_DATE as A_DATE
from alert_pipelines.alerts.filters import IS_PENDING as IS_PENDING
from alert_pipelines.alerts.filters import OUTSIDE_CONTRACT as OUTSIDE_CONTRACT
from alert_pipelines.alerts.filters import PENDING_IN_INDEX as PENDING_IN_INDEX
from alert_pipelines.alerts.filters import PENDING_NAMES as PENDING_NAMES
from alert_pipelines.alerts.filters import SETTLED_NAMES as SETTLED_NAMES
from alert_pipelines.alerts.filters import WITH_SOURCE_ARRAY as WITH_SOURCE_ARRAY
from alert_pipelines.alerts.filters import WITH_STATUS_ARRAY as WITH_STATUS_ARRAY
from alert_pipelines.alerts.filters import one_of as one_of
from alert_pipelines.alerts.history import HISTORY as HISTORY
from alert_pipelines.alerts.history import UNDONE_JOBS as UNDONE_JOBS
from alert_pipelines.alerts.history import DecisionTally as DecisionTally
from alert_pipelines.alerts.history import author_of_change as author_of_change
from alert_pipelines.alerts.history import entries_from as entries_from
from alert_pipelines.alerts.history import entries_where as entries_where
from alert_pipelines.alerts.history import is_reopening as is_reopening
from alert_pipelines.alerts.history import kind_of_change as kind_of_change
from alert_pipelines.alerts.history import tally_decisions as tally_decisions
from alert_pipelines.alerts.model import PENDING as PENDING
from alert_pipelines.alerts.model import SETTLED as SETTLED
from alert_pipelines.alerts.model import TRANSITIONS as TRANSITIONS
from alert_pipelines.alerts.model import Alert as Alert
from alert_pipelines.alerts.model import AlertMetadata as AlertMetadata
from alert_pipelines.alerts.model import Severity as Severity
from alert_pipelines.alerts.model import SourceType as SourceType
from alert_pipelines.alerts.model import StateChange as StateChange
from alert_pipelines.alerts.model import Status as Status
