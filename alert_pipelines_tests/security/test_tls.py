"""TLS and access control at once: the right URI works for a whole scan, each wrong one is an error that says what."""

from pathlib import Path

import pytest

from alert_pipelines.errors import MongoAuthenticationError, MongoConnectionError, SettingsError
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines_tests.factories import AS_OF
from alert_pipelines_tests.reliability.fleet import check_all_decided, fill_fleet
from alert_pipelines_tests.security.conftest import DATABASE, PASSWORD, SecuredServer


def test_a_whole_scan_over_tls(secured: SecuredServer, fleet_db: AlertDatabase) -> None:
    originals = fill_fleet(fleet_db, 300)
    with secured.open("scanner") as db:
        assert auto_close_scanner(db, as_of=AS_OF)["alerts_closed"] == 100
    check_all_decided(fleet_db, originals)


def test_a_certificate_of_an_unknown_authority(secured: SecuredServer) -> None:
    with (
        pytest.raises(MongoConnectionError, match=r"certificate verify failed.*tls in MONGODB_URI") as refused,
        secured.open("scanner", ca=secured.other_ca),
    ):
        pass
    assert not isinstance(refused.value, MongoAuthenticationError)


def test_a_uri_without_tls(secured: SecuredServer) -> None:
    settings = MongoSettings(secured.uri("scanner").replace("tls=true", "tls=false"), DATABASE, Path())
    with pytest.raises((MongoConnectionError, SettingsError), match="tls"), open_database(settings):
        pass


def test_a_file_of_authorities_that_is_not_there(secured: SecuredServer, tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match=r"MONGODB_URI cannot be used.*No such file"),
        secured.open("scanner", ca=tmp_path / "none.pem"),
    ):
        pass


@pytest.mark.parametrize(("user", "password"), [("scanner", "wr0ng"), ("nobody-there", PASSWORD), ("", "")])
def test_a_wrong_password_an_unknown_user_and_none(secured: SecuredServer, user: str, password: str) -> None:
    with (
        pytest.raises(MongoAuthenticationError, match=r"Check the user, the\s+password and the authSource"),
        secured.open(user, password),
    ):
        pass


def test_a_user_without_rights(secured: SecuredServer) -> None:
    with pytest.raises(MongoAuthenticationError, match=r"not authorized.*may read and write"), secured.open("nobody"):
        pass
