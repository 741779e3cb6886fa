"""Reads every setting once, when the code location loads, so that a wrong one shows before the first scan.

What a setting may be is decided where it is used; here they are only asked together.
"""

import os
from collections.abc import Callable, Mapping

from alert_pipelines.defs.freshness import stale_after
from alert_pipelines.defs.old_runs import keep_days_setting
from alert_pipelines.defs.schedules import cron_setting
from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.mongo.settings import MongoSettings
from alert_pipelines.monitoring.health import Thresholds
from alert_pipelines.scanner.limits import escalate_fraction_setting, fraction_setting
from alert_pipelines.scanner.pace import rate_setting

Environ = Mapping[str, str]

_READERS: tuple[Callable[[Environ], object], ...] = (
    MongoSettings.from_env,
    cron_setting,
    lambda environ: stale_after(cron_setting(environ), environ),
    fraction_setting,
    escalate_fraction_setting,
    rate_setting,
    Thresholds.from_env,
    keep_days_setting,
)


class InvalidSettingsError(AlertPipelinesError):
    """Raised when environment variables are not valid settings; the message names each."""


def check_settings(environ: Environ = os.environ) -> None:
    """Read all settings. Raises InvalidSettingsError, which names every one that is not valid."""
    faults: dict[str, None] = {}
    for read in _READERS:
        try:
            read(environ)
        except AlertPipelinesError as error:
            faults[str(error)] = None
    if faults:
        raise InvalidSettingsError("\n".join(faults))
