from pathlib import Path

import pytest

from alert_pipelines.mongo import MongoSettings, MongoSettingsError, settings


def test_an_empty_environment_means_the_local_mongod_in_the_checkout() -> None:
    found = MongoSettings.from_env({})

    checkout = Path(__file__).parents[2]
    assert found == MongoSettings(uri=None, database="alert_management", local_dir=checkout / ".local")


def test_each_variable_is_read() -> None:
    found = MongoSettings.from_env(
        {
            "MONGODB_URI": "mongodb+srv://cluster.example.org/",
            "MONGODB_DATABASE": "fleet",
            "ALERT_PIPELINES_LOCAL_DIR": "/var/lib/alerts",
        }
    )

    assert found == MongoSettings("mongodb+srv://cluster.example.org/", "fleet", Path("/var/lib/alerts"))


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_variable_counts_as_unset(blank: str) -> None:
    names = ("MONGODB_URI", "MONGODB_DATABASE", "ALERT_PIPELINES_LOCAL_DIR")

    assert MongoSettings.from_env(dict.fromkeys(names, blank)) == MongoSettings.from_env({})


def test_a_relative_local_dir_does_not_change_with_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert MongoSettings.from_env({"ALERT_PIPELINES_LOCAL_DIR": "mongo"}).local_dir == tmp_path / "mongo"


def test_a_package_outside_a_checkout_uses_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "__file__", str(tmp_path / "lib/alert_pipelines/mongo/settings.py"))
    monkeypatch.chdir(tmp_path)

    assert MongoSettings.from_env({}).local_dir == tmp_path / ".local"


@pytest.mark.parametrize("uri", ["localhost:27017", "http://localhost", "postgresql://u:geheim@h/db"])
def test_a_uri_of_another_kind_is_named_and_not_shown(uri: str) -> None:
    with pytest.raises(MongoSettingsError, match="MONGODB_URI") as raised:
        MongoSettings.from_env({"MONGODB_URI": uri})

    assert uri not in str(raised.value)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a.b", "contains '.'"),
        ("a b", "contains ' '"),
        ("$alerts", "contains"),
        ("alerts/x", "contains"),
        ("ü" * 32, "longer than 63 bytes"),
        ("admin", "server keeps its own data"),
        ("local", "server keeps its own data"),
    ],
)
def test_a_bad_database_name_is_refused_with_the_reason(name: str, fault: str) -> None:
    with pytest.raises(MongoSettingsError, match=fault) as raised:
        MongoSettings.from_env({"MONGODB_DATABASE": name})

    assert "MONGODB_DATABASE" in str(raised.value)


def test_an_empty_database_name_is_refused() -> None:
    with pytest.raises(MongoSettingsError, match="empty"):
        MongoSettings(None, "", Path())


def test_the_repr_shows_no_password() -> None:
    shown = repr(MongoSettings("mongodb://ops:geheim@db.example.org/", "fleet", Path("/srv")))

    assert "geheim" not in shown
    assert "fleet" in shown
