"""A real mongod with TLS and access control, whose users hold the roles of deploy/mongodb-roles.json and no others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import trustme
from pymongo import MongoClient

from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.scanner.prepare import prepare_collections
from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.mongo.servers import data_dir, foreign_mongod
from alert_pipelines_tests.patience import LIMIT_S
from alert_pipelines_tests.ports import free_port

PASSWORD = "s3cret/of:the@scanner"
DATABASE = "fleet"
ROLES = ("scanner", "viewer", "publisher", "undo", "backtest")


@dataclass(frozen=True)
class SecuredServer:
    """A server that speaks TLS only and knows its users; `ca` has signed its certificate, `other_ca` has not."""

    port: int
    ca: Path
    other_ca: Path

    def uri(self, user: str, password: str = PASSWORD, ca: Path | None = None) -> str:
        who = f"{user}:{quote_plus(password)}@" if user else ""
        # With the wrong authority it is waited for in vain.
        limit_ms = 1000 if ca else 5000
        options = f"replicaSet=rs0&authSource=admin&serverSelectionTimeoutMS={limit_ms}"
        options += f"&tls=true&tlsCAFile={ca or self.ca}"
        return f"mongodb://{who}127.0.0.1:{self.port}/?{options}"

    def open(
        self, user: str, password: str = PASSWORD, ca: Path | None = None
    ) -> AbstractContextManager[AlertDatabase]:
        """The alerts' database as `user` has it."""
        return open_database(MongoSettings(self.uri(user, password, ca), DATABASE, Path()))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServer]:
    with data_dir() as data:
        yield from _secured(tmp_path_factory.mktemp("secured"), data)


def _secured(home: Path, data: Path) -> Iterator[SecuredServer]:
    certificate, key_file = home / "server.pem", home / "key"
    server = SecuredServer(free_port(), home / "ca.pem", home / "other_ca.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(server.ca))
    trustme.CA().cert_pem.write_to_path(str(server.other_ca))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    key_file.write_text("a key that the members of the set share")
    key_file.chmod(0o600)
    replica_set = ("--replSet", "rs0")
    with foreign_mongod(data, server.port, *replica_set) as client:
        members = [{"_id": 0, "host": f"127.0.0.1:{server.port}"}]
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        _make_users(f"mongodb://127.0.0.1:{server.port}/?replicaSet=rs0")
    tls = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(certificate), "--tlsCAFile", str(server.ca))
    options = (*replica_set, *tls, "--tlsAllowConnectionsWithoutCertificates", "--keyFile", str(key_file))
    with foreign_mongod(data, server.port, *options, tls=True, tlsCAFile=str(server.ca)):
        # It listens before it is primary.
        with MongoClient[dict[str, Any]](server.uri("admin"), serverSelectionTimeoutMS=int(LIMIT_S * 1000)) as waiting:
            waiting.admin.command("ping")
        yield server


def _make_users(uri: str) -> None:
    apply_roles = [sys.executable, str(CHECKOUT / "deploy" / "apply-roles"), DATABASE]
    for _ in range(2):
        subprocess.run(apply_roles, env={**os.environ, "MONGODB_ADMIN_URI": uri}, check=True)
    with MongoClient[dict[str, Any]](uri, w="majority", journal=True) as client:
        for role in ROLES:
            roles = [{"role": f"alert_pipelines_{role}", "db": DATABASE}]
            client.admin.command("createUser", role, pwd=PASSWORD, roles=roles)
        client.admin.command("createUser", "admin", pwd=PASSWORD, roles=["root"])
        client.admin.command("createUser", "nobody", pwd=PASSWORD, roles=[])


@pytest.fixture
def fleet_db(secured: SecuredServer) -> Iterator[AlertDatabase]:
    """The database as its administrator has it, with the project's indexes and nothing else in it."""
    with secured.open("admin") as db:
        for name in db.list_collection_names():
            db.drop_collection(name)
        prepare_collections(db)
        yield db
