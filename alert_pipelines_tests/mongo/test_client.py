import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo.errors import InvalidOperation

from alert_pipelines.errors import LocalMongodError, MongoAuthenticationError, MongoConnectionError, SettingsError
from alert_pipelines.mongo import AlertDatabase, MongoSettings, connect, local_mongod_status, open_database, server_now
from alert_pipelines_tests.mongo.servers import foreign_mongod
from alert_pipelines_tests.ports import free_port


def _settings(uri: str | None, local_dir: Path) -> MongoSettings:
    return MongoSettings(uri, "alert_management", local_dir)


def _everything_shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_the_client_is_bounded_in_time_and_writes_with_majority(mongo_uri: str, tmp_path: Path) -> None:
    with connect(_settings(mongo_uri, tmp_path)) as client:
        options = client.options
        assert client.write_concern.document == {"w": "majority"}
        assert options.server_selection_timeout == 10
        assert options.pool_options.connect_timeout == 5
        assert options.pool_options.socket_timeout == 270
        assert options.pool_options.appname == "alert_pipelines"
        assert client.codec_options.tz_aware
        assert options.retry_writes


def test_options_in_the_uri_win_over_the_defaults(mongo_uri: str, tmp_path: Path) -> None:
    uri = f"{mongo_uri}&W=1&sockettimeoutms=7000&appName=mine"
    with connect(_settings(uri, tmp_path)) as client:
        assert client.write_concern.document == {"w": 1}
        assert client.options.pool_options.socket_timeout == 7
        assert client.options.pool_options.appname == "mine"
        assert client.options.pool_options.connect_timeout == 5


def test_dates_come_back_aware_whoever_wrote_them(bare_db: AlertDatabase) -> None:
    naive = datetime(2025, 1, 15, 14, 30, 22)  # noqa: DTZ001 - as the FastAPI service writes them
    bare_db.alerts.insert_one({"timestamp": naive})

    document = bare_db.alerts.find_one()

    assert document is not None
    assert document["timestamp"] == naive.replace(tzinfo=UTC)


def test_server_now_is_the_servers_clock_in_utc(bare_db: AlertDatabase) -> None:
    before = datetime.now(UTC)
    earlier, later = server_now(bare_db), server_now(bare_db)
    after = datetime.now(UTC)

    assert earlier.tzinfo is UTC
    assert earlier.microsecond % 1000 == 0
    # Server and test share a machine and so a clock, of which the server tells whole milliseconds.
    assert before - timedelta(milliseconds=1) <= earlier <= later <= after


def test_transactions_and_change_streams_work(bare_db: AlertDatabase) -> None:
    bare_db.create_collection("alerts")
    with bare_db.alerts.watch() as changes:
        with bare_db.client.start_session() as session, session.start_transaction():
            bare_db.alerts.insert_one({"alert_id": "a"}, session=session)
            bare_db.alerts.insert_one({"alert_id": "b"}, session=session)
        seen = [next(changes)["fullDocument"]["alert_id"] for _ in range(2)]

    assert seen == ["a", "b"]


def test_the_client_is_closed_also_after_an_error(mongo_uri: str, tmp_path: Path) -> None:
    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError), open_database(_settings(mongo_uri, tmp_path)) as database:
        fail()

    with pytest.raises(InvalidOperation, match="close"):
        database.command("ping")


def test_with_a_uri_no_local_mongod_is_started(mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", "test_named_by_the_environment")
    monkeypatch.setenv("ALERT_PIPELINES_LOCAL_DIR", str(tmp_path / "local"))

    with open_database() as database:
        assert database.name == "test_named_by_the_environment"
        database.command("ping")

    assert not (tmp_path / "local").exists()


def test_without_a_uri_the_local_mongod_is_started(local_dir: Path) -> None:
    with open_database(_settings(None, local_dir)) as database:
        database.alerts.insert_one({"alert_id": "a"})
        port = database.client.address and database.client.address[1]

    mongod = local_mongod_status(local_dir)
    assert mongod is not None
    assert mongod.port == port


def test_a_local_mongod_that_cannot_be_had_is_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(LocalMongodError, match="directory"),
        open_database(_settings(None, tmp_path / "file")),
    ):
        pass


def test_a_server_that_does_not_answer_is_a_bounded_error_without_the_password(tmp_path: Path) -> None:
    uri = f"mongodb://ops:geheim@127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300"

    with (
        pytest.raises(MongoConnectionError, match="Connection refused") as raised,
        open_database(_settings(uri, tmp_path)),
    ):
        pass

    assert "Timeout: 0.3s" in str(raised.value.__cause__)
    assert "MONGODB_URI" in str(raised.value)
    assert "geheim" not in _everything_shown(raised.value)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://ops:gehe/im@db.invalid/alerts",
        "mongodb://ops:gehe@im@db.invalid/alerts",
        "mongodb://ops:gehe?im@db.invalid/alerts",
        "mongodb://ops:gehe%im@db.invalid/alerts",
        "mongodb://ops:27017?gehe=im@db.invalid/alerts",
        "mongodb://ops:27017?gehe=im@db.invalid/alerts?tls=yes",
        "mongodb://ops:geheim@db.invalid/?tlsCertificateKeyFilePasswrd=geheim",
        "mongodb://ops:gehe:im@db.invalid/alerts",
        "mongodb://ops:gehe",
        "mongodb+srv://ops:gehe",
        "mongodb+srv://ops:gehe/im@db.invalid",
        "mongodb://ops:gehe@db.invalid/?tls=true&tlsCAFile=/no/such/file",
        "mongodb://",
    ],
)
def test_a_malformed_uri_is_named_and_no_piece_of_its_password_is_shown(uri: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MONGODB_URI cannot be used") as raised:
        connect(_settings(uri, tmp_path))

    # Without the traceback's own lines, which quote this file: it holds the words by necessity.
    shown = "".join(traceback.format_exception_only(raised.value)) + repr(raised.value.__cause__)
    assert raised.value.__suppress_context__
    assert "gehe" not in shown
    assert "im@" not in shown


@pytest.fixture(scope="module")
def address_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with foreign_mongod(tmp_path_factory.mktemp("auth"), port, "--auth") as client:
        client.admin.command(
            "createUser", "ops", pwd="geheim", roles=["readWriteAnyDatabase"], writeConcern={"w": 1, "j": True}
        )
        yield f"127.0.0.1:{port}"


def test_the_right_password_opens(address_with_users: str, tmp_path: Path) -> None:
    uri = f"mongodb://ops:geheim@{address_with_users}/?authSource=admin"
    with open_database(_settings(uri, tmp_path)) as database:
        assert database.alerts.find_one() is None


@pytest.mark.parametrize("user", ["ops:geheim-nicht@", ""], ids=["wrong password", "no user"])
def test_a_refusal_is_an_error_at_once_and_without_the_password(
    user: str, address_with_users: str, tmp_path: Path
) -> None:
    uri = f"mongodb://{user}{address_with_users}/?authSource=admin"

    with (
        pytest.raises(MongoAuthenticationError, match="authSource in MONGODB_URI") as raised,
        open_database(_settings(uri, tmp_path)),
    ):
        pass

    assert "geheim" not in _everything_shown(raised.value)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("tls=yes", "tls is not valid: The value of tls must be 'true' or 'false'"),
        ("foo=1", "foo is not valid: unknown option"),
        ("conectTimeoutMS=1", "conectTimeoutMS is not valid: unknown option; did you mean 'connecttimeoutms'"),
        ("connectTimeoutMS=soon", "connectTimeoutMS is not valid"),
        ("replicaSet=rs0&replicaset=rs1", "replicaset is given more than once"),
        ("readPreference=nearst", "readPreference is not valid: nearst"),
        ("readConcernLevel=odd", "readConcernLevel is not valid: expected available or .* got odd"),
        ("compressors=zlib,foo", "compressors is not valid: expected snappy or zlib or zstd; got foo"),
        ("authMechanism=ODD", "authMechanism is not valid"),
        ("foo=1;bar=2", "foo is not valid.*bar is not valid"),
        ("retryWrites=maybe&w=1&tsl=true", "retryWrites is not valid.*tsl is not valid.*did you mean 'tls'"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_option_that_the_driver_does_not_know_was_dropped_with_a_python_warning(
    options: str, fault: str, tmp_path: Path
) -> None:
    for scheme in ("mongodb", "mongodb+srv"):
        with pytest.raises(SettingsError, match=f"MONGODB_URI cannot be used: {fault}.* Correct the options"):
            connect(_settings(f"{scheme}://ops:geheim@db.example.org/alerts?{options}", tmp_path))


@pytest.mark.filterwarnings("error")
def test_every_good_option_is_still_taken(mongo_uri: str, tmp_path: Path) -> None:
    tags = "readPreference=secondary&readPreferenceTags=a:b&readPreferenceTags="
    uri = f"{mongo_uri}&w=1&journal=true&readConcernLevel=majority&compressors=zlib&appName=a%40b&{tags}"
    with connect(_settings(uri, tmp_path)) as client:
        assert client.write_concern.document == {"w": 1, "j": True}
        assert client.options.pool_options.appname == "a@b"


def test_writes_that_nobody_would_acknowledge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Remove w from the URI"):
        connect(MongoSettings("mongodb://127.0.0.1:1/?w=0", "fleet", tmp_path))


def test_reads_go_to_the_primary_whatever_the_uri_prefers(mongo_uri: str, tmp_path: Path) -> None:
    """The one member there is leads the set, so a read that insisted on a secondary would find no server."""
    settings = MongoSettings(f"{mongo_uri}&readPreference=secondary&serverSelectionTimeoutMS=1000", "fleet", tmp_path)
    with open_database(settings) as db:
        assert db.alerts.find_one() is None
