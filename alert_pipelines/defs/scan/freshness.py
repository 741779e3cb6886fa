"""The freshness policy of the job records, which detects missed scans without a run."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from dagster import AssetsDefinition, AssetSpec, FreshnessPolicy

from alert_pipelines.defs.asset_specs import JOBS
from alert_pipelines.defs.dagster_internals import CroniterShim, cron_string_iterator
from alert_pipelines.settings import Settings

_FROM = datetime(2026, 1, 5, tzinfo=UTC)
# Days with ticks: enough for the gaps of any week and month.
_DAYS = 40
_CLOCK_CHANGE = timedelta(hours=1)


def stale_after(settings: Settings) -> timedelta | None:
    """How long after the last scan the next is missed; None where none is scheduled.

    What AUTO_CLOSE_STALE_MINS says; else the longest gap between ticks and two of the shortest, which makes 15 minutes
    of a tick every five. In a zone other than UTC, a gap of hours can be an hour longer.
    """
    if settings.cron is None:
        return None
    if settings.stale_mins is not None:
        return timedelta(minutes=settings.stale_mins)
    gaps = _gaps(settings.cron)
    longest = max(gaps)
    if settings.timezone != "UTC" and longest >= _CLOCK_CHANGE:
        # When the clocks go back, the night is longer.
        longest += _CLOCK_CHANGE
    return longest + 2 * min(gaps)


def _gaps(cron: str) -> list[timedelta]:
    """The gaps between the ticks of one day, and those from one day's last tick to the next one's first."""
    # By Dagster's own reader, since one written here differed from it in 28 of 600 expressions. The ticks of a day are
    # read and not run through, which takes each run that loads this 0.3 s for a tick a minute: days that have ticks
    # have them all at the same times.
    (minutes, hours, *day), *_ = CroniterShim.expand(cron)
    times = [
        timedelta(hours=hour, minutes=minute)
        for hour in (range(24) if hours == ["*"] else sorted(hours))
        for minute in (range(60) if minutes == ["*"] else sorted(minutes))
    ]
    midnights = " ".join(["0 0", *(cron.split()[2:] or (",".join(map(str, field)) for field in day))])
    days = islice(cron_string_iterator(_FROM.timestamp(), midnights, "UTC"), _DAYS)
    of_a_day = [later - earlier for earlier, later in pairwise(times)]
    return [*of_a_day, *(later + times[0] - (earlier + times[-1]) for earlier, later in pairwise(days))]


def with_freshness(assets: AssetsDefinition, window: timedelta | None) -> AssetsDefinition:
    """The scan's assets, where the job records go stale after `window`; None: never."""
    if window is None:
        return assets
    policy = FreshnessPolicy.time_window(fail_window=window)

    def fresh(spec: AssetSpec) -> AssetSpec:
        return spec.replace_attributes(freshness_policy=policy) if spec.key.to_user_string() == JOBS else spec

    return assets.map_asset_specs(fresh)
