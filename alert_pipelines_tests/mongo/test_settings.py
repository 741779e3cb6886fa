from pathlib import Path

import pytest

from alert_pipelines.errors import SettingsError
from alert_pipelines.mongo import MongoSettings


def test_the_server_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb+srv://cluster.example.org/")
    monkeypatch.setenv("MONGODB_DATABASE", "fleet")
    monkeypatch.setenv("ALERT_PIPELINES_LOCAL_DIR", "/var/lib/alerts")

    assert MongoSettings.from_env() == MongoSettings(
        "mongodb+srv://cluster.example.org/", "fleet", Path("/var/lib/alerts")
    )


def test_a_uri_that_a_program_gives_is_checked_as_one_of_the_environment_is() -> None:
    with pytest.raises(SettingsError, match="MONGODB_URI") as raised:
        MongoSettings("postgresql://u:geheim@h/db", "fleet", Path())

    assert "geheim" not in str(raised.value)


def test_an_empty_database_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="empty"):
        MongoSettings(None, "", Path())


def test_the_repr_shows_no_password() -> None:
    shown = repr(MongoSettings("mongodb://ops:geheim@db.example.org/", "fleet", Path("/srv")))

    assert "geheim" not in shown
    assert "fleet" in shown
