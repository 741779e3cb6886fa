"""Messages to people, by webhook, e-mail or chat: which receivers there are, and how one message reaches one of them.

What is told, and when, belongs to `notices`. A receiver's address holds tokens and passwords: none is logged, nor
quoted in an error, so a receiver is named by its place in the setting and by its kind.
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
"""Sensors of one Dagster may tick one after another: so long at most does one that tells people hold up the others."""


class Message(NamedTuple):
    """What one receiver is told; plain text."""

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
    """The receivers that `urls` name, each an apprise URL."""
    return tuple(Receiver(place, len(urls), url) for place, url in enumerate(urls, 1))


def deliver(messages: Mapping[Receiver, Message]) -> dict[Receiver, NotificationError]:
    """Send each receiver its message, to all at once; return those not reached within LONGEST_DELIVERY_S, and why.

    Raises NotificationError where apprise is not installed.
    """
    if not messages:
        return {}
    _prepare_apprise()
    sent = {receiver: _sending(receiver, message) for receiver, message in messages.items()}
    wait(sent.values(), timeout=LONGEST_DELIVERY_S)
    faults = {receiver: future.result() if future.done() else _too_slow(receiver) for receiver, future in sent.items()}
    return {receiver: fault for receiver, fault in faults.items() if fault is not None}


def _sending(receiver: Receiver, message: Message) -> "Future[NotificationError | None]":
    """The answer to come. A receiver that hangs is left behind: nothing waits for its thread, nor does the exit."""
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
    """Raise NotificationError where `faults` has any, naming each, and how many of `receivers` were reached."""
    if faults:
        reasons = "; ".join(map(str, faults.values()))
        reached = len(receivers) - len(faults)
        raise NotificationError(f"{reached} of {len(receivers)} receivers got the message: {reasons}")


def _prepare_apprise() -> None:
    # Imported here and not above: neither a scan nor the code server needs it before there is something to tell.
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
