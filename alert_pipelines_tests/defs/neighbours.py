"""Another team's code location: names that ours has as well, a job that stays at work, and a sensor that is slow."""

import time

from dagster import Config, DefaultSensorStatus, Definitions, SkipReason, asset, job, op, sensor


class Sleep(Config):
    seconds: float = 0.0


@op
def work(config: Sleep) -> None:
    time.sleep(config.seconds)


@job
def auto_close_job() -> None:
    work()


@asset
def background_jobs() -> None: ...


@asset
def alerts() -> None: ...


@sensor(job=auto_close_job, minimum_interval_seconds=5, default_status=DefaultSensorStatus.RUNNING)
def slow_sensor() -> SkipReason:
    """Stands in the only thread that sensors have by default."""
    time.sleep(20)
    return SkipReason("nothing to do")


defs = Definitions(assets=[alerts, background_jobs], jobs=[auto_close_job], sensors=[slow_sensor])
