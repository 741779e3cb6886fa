"""Makes a replica set of the one MongoDB server of compose.yaml, and in it the scanner's user. May be run again.

Settings: MONGO_HOST (host:port, as all clients name it), MONGO_ROOT_PASSWORD, MONGODB_DATABASE, MONGODB_PASSWORD.
"""

import os
import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

REPLICA_SET = "rs0"
ROOT = "root"
USER = "alert_pipelines"

_LIMIT_S = 60
_ALREADY_INITIATED = 23
_USER_EXISTS = 51003


def main() -> None:
    """Initiate the replica set, wait for its primary, create or update the user. Raises PyMongoError, TimeoutError."""
    host, database, password = (os.environ[name] for name in ("MONGO_HOST", "MONGODB_DATABASE", "MONGODB_PASSWORD"))
    with MongoClient[dict[str, Any]](
        host,
        username=ROOT,
        password=os.environ["MONGO_ROOT_PASSWORD"],
        directConnection=True,
        serverSelectionTimeoutMS=_LIMIT_S * 1000,
    ) as client:
        _initiate(client, host)
        _wait_for_primary(client, host)
        _grant(client, database, password)
    print(f"{host} is the primary of {REPLICA_SET}; {USER} may read and write {database}.")


def _initiate(client: MongoClient[dict[str, Any]], host: str) -> None:
    try:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]})
    except OperationFailure as error:
        if error.code != _ALREADY_INITIATED:
            raise


def _wait_for_primary(client: MongoClient[dict[str, Any]], host: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not client.admin.command("hello")["isWritablePrimary"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{host} has not become the primary of {REPLICA_SET} within {_LIMIT_S} s: see its log")
        time.sleep(0.5)


def _grant(client: MongoClient[dict[str, Any]], database: str, password: str) -> None:
    granted: dict[str, Any] = {"pwd": password, "roles": [{"role": "readWrite", "db": database}]}
    try:
        client[database].command("createUser", USER, **granted)
    except OperationFailure as error:
        if error.code != _USER_EXISTS:
            raise
        client[database].command("updateUser", USER, **granted)


if __name__ == "__main__":
    main()
