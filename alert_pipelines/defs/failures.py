"""Ends a run with the message of an error that a person can act upon, without a retry or a stack trace."""

from collections.abc import Iterator
from contextlib import contextmanager

from alert_pipelines.defs.dagster_internals import MessageFailure
from alert_pipelines.errors import AlertPipelinesError


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Raise this package's errors as a MessageFailure."""
    try:
        yield
    except AlertPipelinesError as error:
        raise MessageFailure(str(error)) from None
