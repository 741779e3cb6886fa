"""`notify`: sends test notifications."""

import click

from alert_pipelines.errors import NotificationError
from alert_pipelines.monitoring.notifications import Message, deliver, receivers_of, refuse_faults
from alert_pipelines.settings import NOTIFY_VARIABLE, read_settings

_TEST = Message(
    "Alert scanner: a test",
    "You will get a message when a scan fails, when a limit blocks closes or escalations, when no scan completes, and "
    "when a rule with `notify` decides alerts. Once a day, you get a summary with blocked rules and malformed alerts.",
)


@click.group()
def notify() -> None:
    """Send test notifications."""


@notify.command()
def test() -> None:
    """Send a test message to each receiver."""
    receivers = receivers_of(read_settings().notify_urls)
    if not receivers:
        raise NotificationError(f"{NOTIFY_VARIABLE} is not set: set it to apprise URLs, separated by blanks")
    refuse_faults(deliver(dict.fromkeys(receivers, _TEST)), receivers)
    click.echo(f"Sent to {len(receivers)} {'receiver' if len(receivers) == 1 else 'receivers'}.")
