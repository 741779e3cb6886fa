"""Writes the log lines of this package to the log of the run, independent of `python_logs` in dagster.yaml."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dagster import DagsterInstance, DagsterLogManager

_LOGGER = "alert_pipelines"


class _ToRun(logging.Handler):
    """Hands each line to the run's log, except those that Dagster itself takes there."""

    def __init__(self, log: DagsterLogManager, managed: Sequence[str]) -> None:
        super().__init__()
        self._log = log
        self._managed = managed

    def emit(self, record: logging.LogRecord) -> None:
        if not _is_managed(record.name, self._managed):
            self._log.log(record.levelno, record.getMessage())


def _is_managed(logger: str, managed: Sequence[str]) -> bool:
    """Whether the instance's `python_logs` already takes that logger's lines to the run's log."""
    return any(name == "root" or f"{logger}.".startswith(f"{name}.") for name in managed)


@contextmanager
def lines_in_run_log(log: DagsterLogManager, instance: DagsterInstance) -> Iterator[None]:
    """Let what this package logs, from INFO on, be in the event log of the run and on its console, each line once."""
    logger = logging.getLogger(_LOGGER)
    managed = instance.managed_python_loggers
    handler, level = _ToRun(log, managed), logger.level
    # Where the instance manages the logger, it also says which level people want.
    if logger.getEffectiveLevel() > logging.INFO and not _is_managed(_LOGGER, managed):
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
