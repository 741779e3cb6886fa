"""Messages on their way to real receivers on the loopback."""

import logging
import sys

import pytest

from alert_pipelines.errors import NotificationError
from alert_pipelines.monitoring import notifications
from alert_pipelines.monitoring.notifications import Message, Receiver, deliver, receivers_of, refuse_faults
from alert_pipelines_tests.receivers import hanging, mailbox, webhook

MESSAGE = Message("A scan failed", "JOB-1 failed.\n\nThe next one does the rest.")
SECRET = "hunter2secret"


def receivers(*urls: str) -> tuple[Receiver, ...]:
    return receivers_of(urls)


def test_every_receiver_gets_the_message_by_webhook_and_by_mail() -> None:
    with webhook() as hook, mailbox() as mail:
        to_mail = f"mailto://127.0.0.1:{mail.port}?from=scanner@fleet.test&to=people@fleet.test"
        assert deliver(dict.fromkeys(receivers(f"json://127.0.0.1:{hook.port}", to_mail), MESSAGE)) == {}
    assert hook.got == [MESSAGE]
    [(title, body)] = mail.got
    assert title == MESSAGE.title
    assert body.split() == MESSAGE.body.split()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"json://user:{SECRET}@127.0.0.1:9/{SECRET}", r"receiver 1 of 2 .*\(JSON\) did not accept the message"),
        (f"nosuch://{SECRET}", "receiver 1 of 2 .* is not a valid URL for apprise"),
        (f"slack://{SECRET}", "receiver 1 of 2 .* is not a valid URL for apprise"),
    ],
)
def test_a_receiver_that_is_down_or_misspelt_is_named_without_its_secret_and_keeps_no_other_from_being_told(
    url: str, says: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook() as hook:
        both = receivers(url, f"json://127.0.0.1:{hook.port}")
        faults = deliver(dict.fromkeys(both, MESSAGE))
    assert hook.got == [MESSAGE]
    assert list(faults) == [both[0]]
    with pytest.raises(NotificationError, match=f"^1 of 2 receivers got the message: {says}") as refused:
        refuse_faults(faults, both)
    for text in (str(refused.value), repr(both), caplog.text, *capfd.readouterr()):
        assert SECRET not in text


def test_a_receiver_that_answers_with_an_error_has_not_been_told() -> None:
    with webhook() as hook:
        hook.refuses = True
        assert len(deliver(dict.fromkeys(receivers(f"json://127.0.0.1:{hook.port}"), MESSAGE))) == 1


def test_a_receiver_that_hangs_stalled_every_sensor_of_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    with hanging() as port, webhook() as inbox:
        slow, well = receivers(f"json://127.0.0.1:{port}", f"json://127.0.0.1:{inbox.port}")
        # What apprise loads at first may take longer than that.
        deliver({well: Message("zero", "text")})
        monkeypatch.setattr(notifications, "LONGEST_DELIVERY_S", 2.0)
        # The answer of the slow one has no end: whoever waits for it does not return.
        faults = deliver({slow: Message("one", "text"), well: Message("two", "text")})
        assert inbox.titles == ["zero", "two"]
    assert list(faults) == [slow]
    assert "receiver 1 of 2 in ALERT_PIPELINES_NOTIFY_URLS did not answer within 2 s" in str(faults[slow])


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotificationError, match=r"pip install '\.\[notifications\]'` in a checkout"):
        deliver(dict.fromkeys(receivers("json://127.0.0.1"), MESSAGE))
