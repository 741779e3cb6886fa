"""The local mongod: for this machine alone, and only where no server is named."""

from pathlib import Path

import psutil
import pytest

from alert_pipelines.errors import MongoConnectionError
from alert_pipelines.mongo import MongoSettings, ensure_local_mongod, local_mongod_status, open_database


def test_it_listens_on_loopback_only(local_dir: Path) -> None:
    ensure_local_mongod(local_dir)
    mongod = local_mongod_status(local_dir)
    assert mongod is not None
    sockets = psutil.Process(mongod.pid).net_connections(kind="all")
    listening = {one.laddr for one in sockets if one.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", mongod.port)}
    # psutil lists the path of a Unix socket in place of an address.
    assert not [one for one in sockets if isinstance(one.laddr, str) and one.laddr]
    assert (local_dir / "mongodb").stat().st_mode & 0o077 == 0


def test_it_is_not_started_where_a_uri_is_set_though_that_server_is_away(local_dir: Path) -> None:
    settings = MongoSettings("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100", "fleet", local_dir)
    with pytest.raises(MongoConnectionError, match="of MONGODB_URI cannot be used"), open_database(settings):
        pass
    assert local_mongod_status(local_dir) is None
    assert not list(local_dir.iterdir())
