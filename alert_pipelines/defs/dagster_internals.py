"""The private names of Dagster that this package cannot do without, and nothing else.

Only this module imports them, so that an upgrade of Dagster which moves one fails here, and in this module's test.
"""

from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import ScheduleInstigatorData

__all__ = ["InstigatorType", "ScheduleInstigatorData"]
