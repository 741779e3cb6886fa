"""The compose file's MongoDB: a server with passwords becomes a replica set, and the scanner's user gets its rights."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import OperationFailure

from alert_pipelines.job_records import recent_records
from alert_pipelines.mongo import MongoSettings, open_database
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.scan import auto_close_scanner
from alert_pipelines_tests.deploy.files import DEPLOY, compose
from alert_pipelines_tests.mongo.servers import foreign_mongod
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.ports import free_port

ROOT_PASSWORD = "of-root"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A mongod as its image makes it: the root user, then a start with passwords; not yet a replica set."""
    data, key, port = tmp_path / "data", tmp_path / "key", free_port()
    key.write_text("replica0key")
    key.chmod(0o400)
    with foreign_mongod(data, port) as client:
        client.admin.command("createUser", "root", pwd=ROOT_PASSWORD, roles=["root"])
        # The server is killed at the end of the block.
        client.admin.command("fsync")
    with foreign_mongod(data, port, "--replSet", "rs0", "--keyFile", str(key)):
        yield f"127.0.0.1:{port}"


def initiate(host: str, *, root_password: str, password: str) -> subprocess.CompletedProcess[str]:
    """Run the service's command with its variables."""
    service = compose()["services"]["mongodb-initiated"]
    database = service["environment"]["MONGODB_DATABASE"]
    given = {"MONGO_HOST": host, "MONGO_ROOT_PASSWORD": root_password, "MONGODB_PASSWORD": password}
    assert set(service["environment"]) == {*given, "MONGODB_DATABASE"}
    return subprocess.run(
        [sys.executable, str(DEPLOY / Path(service["command"][1]).name)],
        env=given | {"MONGODB_DATABASE": database},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def settings(host: str, password: str) -> MongoSettings:
    """What the code server is told, with the test's own host and password."""
    environment = compose()["services"]["code-server"]["environment"]
    before, _, after = environment["MONGODB_URI"].replace("mongodb:27017", host).partition("${")
    return MongoSettings(before + password + after.partition("}")[2], environment["MONGODB_DATABASE"], Path())


@pytest.mark.process
def test_the_replica_set_is_made_and_the_scanner_s_user_can_do_what_a_scan_does_and_no_more(host: str) -> None:
    for password in ("first", "second"):
        # The second time nothing is left to do but to take the new password.
        done = initiate(host, root_password=ROOT_PASSWORD, password=password)
        assert done.returncode == 0, done.stderr
        assert f"{host} is the primary of rs0" in done.stdout
        assert password not in done.stdout
        with open_database(settings(host, password)) as db:
            publish_rules(db, default_rules())
            auto_close_scanner(db)
            assert recent_records(1, db)[0]["status"] == "completed"
            with pytest.raises(OperationFailure, match="not authorized"):
                db.client["elsewhere"].alerts.insert_one({})


def test_a_wrong_root_password_is_said(host: str) -> None:
    done = initiate(host, root_password="wrong", password="any")
    assert done.returncode != 0
    assert "Authentication failed" in done.stderr
