"""The code location that the scan is measured against: one job of one op that does nothing."""

from dagster import Definitions, in_process_executor, job, op


@op
def nothing() -> None: ...


@job(executor_def=in_process_executor)
def trivial_job() -> None:
    nothing()


defs = Definitions(jobs=[trivial_job])
