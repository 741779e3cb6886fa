"""Ends a run with the message of an error that a person can act upon, without a retry or a stack trace."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure

from alert_pipelines.errors import AlertPipelinesError


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Raise this package's errors as a Failure that is not retried."""
    try:
        yield
    except AlertPipelinesError as error:
        raise Failure(str(error), allow_retries=False) from None
