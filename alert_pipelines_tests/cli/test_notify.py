"""`notify test`: whether people would be reached."""

import pytest

from alert_pipelines.settings import NOTIFY_VARIABLE
from alert_pipelines_tests.cli.conftest import Run
from alert_pipelines_tests.receivers import Inbox


def test_every_receiver_gets_the_test_message(run: Run, hook: Inbox) -> None:
    assert run("notify", "test").stdout == "Sent to 1 receiver.\n"
    assert hook.titles == ["Alert scanner: a test"]


def test_a_receiver_that_is_down_is_named_and_the_others_are_told(
    run: Run, hook: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, f"json://user:hunter2secret@127.0.0.1:9 json://127.0.0.1:{hook.port}")
    said = run("notify", "test", code=1).stderr
    assert f"1 of 2 receivers got the message: receiver 1 of 2 in {NOTIFY_VARIABLE} (JSON) did not accept" in said
    assert "hunter2secret" not in said
    assert len(hook.got) == 1


def test_without_receivers_it_is_said_what_to_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NOTIFY_VARIABLE, raising=False)
    assert f"{NOTIFY_VARIABLE} is not set" in run("notify", "test", code=1).stderr
