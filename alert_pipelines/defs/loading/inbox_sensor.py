"""The sensor that loads new files in the inbox, one after the other.

Each file is loaded by one run. A run that died is launched again, which loads nothing twice. After several attempts the
file is moved to `failed`.
"""

import hashlib
import time

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SkipReason, sensor

from alert_pipelines.defs.loading.job import load_alerts_job
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.own_runs import FINISHED, location_of_sensor, own_runs
from alert_pipelines.settings import INBOX_VARIABLE, read_settings

FILE_TAG = "alert_pipelines/inbox_file"
MAX_ATTEMPTS = 3


@sensor(
    job_name=load_alerts_job.name,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description=f"Loads new files in the directories of {INBOX_VARIABLE}, and moves them to done or failed.",
)
def inbox_sensor(context: SensorEvaluationContext, names: Names) -> RunRequest | SkipReason:
    """Launch a run for the oldest file that waits, if none is at it."""
    # The code server loads this module, and only an inbox needs the loader.
    from alert_pipelines.loading.inbox import FAILED, look_into, put_away  # noqa: PLC0415

    directory = read_settings().inbox
    if directory is None:
        return SkipReason(f"{INBOX_VARIABLE} is not set: no directory is looked at.")
    found = look_into(directory, time.time())
    for left in found.left:
        context.log.warning("Not loaded: %s", left)
    aside = []
    for waiting in found.files:
        file_id = hashlib.sha256(waiting.key.encode(errors="surrogateescape")).hexdigest()[:32]
        tags = {names.name(FILE_TAG): file_id}
        runs = own_runs(context.instance, location_of_sensor(context), tags=tags)
        if busy := next((run for run in runs if run.status not in FINISHED), None):
            return SkipReason(f"{waiting.path.name} is being loaded by run {busy.run_id}.")
        if len(runs) < MAX_ATTEMPTS:
            config = {"file": str(waiting.path), **waiting.reading, "update": True, "put_away": True}
            return RunRequest(
                run_key=f"{file_id}#{len(runs)}", run_config={"ops": {"load": {"config": config}}}, tags=tags
            )
        put_away(waiting.path, FAILED)
        aside.append(f"{waiting.path.name} was put into {FAILED}: {MAX_ATTEMPTS} runs ended before they were done.")
        context.log.error("%s", aside[-1])
    not_loaded = [f"Not loaded: {reason}." for reason in found.left]
    return SkipReason(" ".join([*aside, *not_loaded]) or "No file waits.")
