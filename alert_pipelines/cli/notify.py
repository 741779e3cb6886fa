"""`notify`: sends test notifications."""

import click

from alert_pipelines.errors import NotificationError
from alert_pipelines.monitoring.notifications import Message, deliver, receivers_of, refuse_faults
from alert_pipelines.settings import NOTIFY_VARIABLE, read_settings

_TEST = Message(
    "Alert scanner: a test",
    "You are told here when a scan fails, when a limit blocks closes or escalations, when no scan completes any more, "
    "what rules with `notify` decided, and once a day what was done, what is blocked and which alerts are malformed.",
)


@click.group()
def notify() -> None:
    """Send test notifications."""


@notify.command()
def test() -> None:
    """Send a test message to each receiver."""
    receivers = receivers_of(read_settings().notify_urls)
    if not receivers:
        raise NotificationError(f"{NOTIFY_VARIABLE} is not set: give it apprise URLs with blanks between, see the docs")
    refuse_faults(deliver(dict.fromkeys(receivers, _TEST)), receivers)
    click.echo(f"{len(receivers)} told.")
