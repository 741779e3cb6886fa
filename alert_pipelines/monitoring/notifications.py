"""Sends messages by webhook, e-mail or chat.

`notices` decides what to send, and when. An address contains tokens and passwords. It is never logged or quoted in an
error: messages name a receiver by its place in the setting and by its kind.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import NamedTuple

from alert_pipelines.errors import NotificationError
from alert_pipelines.extras import how_to_install
from alert_pipelines.settings import NOTIFY_VARIABLE

TRY = "alert-pipelines notify test"

LONGEST_DELIVERY_S = 15.0
"""Sensors may run one after another, so this is the longest that sending may delay the others."""


class Message(NamedTuple):
    """A message to one receiver, in plain text."""

    title: str
    body: str


@dataclass(frozen=True)
class Receiver:
    """One address of the setting; `place` counts from 1."""

    place: int
    total: int
    # Not in the repr: it holds tokens and passwords.
    url: str = field(repr=False)

    def __str__(self) -> str:
        return f"receiver {self.place} of {self.total} in {NOTIFY_VARIABLE}"


def receivers_of(urls: Sequence[str]) -> tuple[Receiver, ...]:
    """Return the receivers of `urls`, which are apprise URLs."""
    return tuple(Receiver(place, len(urls), url) for place, url in enumerate(urls, 1))


def deliver(messages: Mapping[Receiver, Message]) -> dict[Receiver, NotificationError]:
    """Send the messages concurrently; return the receivers not reached within LONGEST_DELIVERY_S, with the error.

    Raises NotificationError if apprise is not installed.
    """
    if not messages:
        return {}
    _prepare_apprise()
    sent = {receiver: _sending(receiver, message) for receiver, message in messages.items()}
    wait(sent.values(), timeout=LONGEST_DELIVERY_S)
    faults = {receiver: future.result() if future.done() else _too_slow(receiver) for receiver, future in sent.items()}
    return {receiver: fault for receiver, fault in faults.items() if fault is not None}


def _sending(receiver: Receiver, message: Message) -> "Future[NotificationError | None]":
    """Send in a thread that neither the caller nor the exit of the process waits for, since a receiver may hang."""
    answer: Future[NotificationError | None] = Future()

    def send() -> None:
        try:
            answer.set_result(_send(receiver, message))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=send, name=f"notify-{receiver.place}", daemon=True).start()
    return answer


def _too_slow(receiver: Receiver) -> NotificationError:
    return NotificationError(
        f"{receiver} did not answer within {LONGEST_DELIVERY_S:.0f} s. Check the receiver, then run `{TRY}`"
    )


def refuse_faults(faults: Mapping[Receiver, NotificationError], receivers: Sequence[Receiver]) -> None:
    """Raise NotificationError if `faults` has any, with each fault and the number of `receivers` that were reached."""
    if faults:
        reasons = "; ".join(map(str, faults.values()))
        reached = len(receivers) - len(faults)
        raise NotificationError(f"{reached} of {len(receivers)} receivers got the message: {reasons}")


def _prepare_apprise() -> None:
    # Imported here: scans and the code server do not need it until there is a message.
    try:
        import apprise  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise NotificationError(
            f"{NOTIFY_VARIABLE} is set, and apprise is not installed. Install it with "
            f"{how_to_install('notifications')}, or unset the variable"
        ) from error
    # What it logs quotes addresses.
    logging.getLogger("apprise").disabled = True


def _send(receiver: Receiver, message: Message) -> NotificationError | None:
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415

    plugin = Apprise.instantiate(receiver.url)
    if plugin is None:
        return NotificationError(
            f"{receiver} is not a valid URL for apprise: compare it with apprise's documentation of the service. In "
            "user and password, percent-encode : / ? # @ % and blanks"
        )
    sender = Apprise()
    sender.add(plugin)
    if sender.notify(body=message.body, title=message.title, body_format=NotifyFormat.TEXT):
        return None
    return NotificationError(
        f"{receiver} ({plugin.service_name}) did not accept the message: check that it runs, that this machine can "
        f"reach it, and that its address is correct, then run `{TRY}`"
    )
