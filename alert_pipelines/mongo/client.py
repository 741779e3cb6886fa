"""Connections to the alerts' MongoDB: creates, opens, checks and closes clients.

All connections of the project are made here, so that time limits and write concern are the same everywhere.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeAlias
from urllib.parse import parse_qsl

from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

from alert_pipelines.errors import MongoAuthenticationError, MongoConnectionError, SettingsError
from alert_pipelines.mongo.door import at_the_door, known_form
from alert_pipelines.mongo.local import ensure_local_mongod
from alert_pipelines.mongo.reasons import reason_of
from alert_pipelines.mongo.settings import MongoSettings
from alert_pipelines.mongo.uri_options import check_options
from alert_pipelines.settings import URI_VARIABLE

AlertDocument: TypeAlias = dict[str, Any]
AlertDatabase: TypeAlias = Database[AlertDocument]

# MONGODB_URI can override each option. Nothing waits for ever: a scan that cannot reach its database has to fail. With
# majority, acknowledged writes survive a crash of the server.
_DEFAULT_OPTIONS: dict[str, Any] = {
    "appname": "alert_pipelines",
    "w": "majority",
    "serverSelectionTimeoutMS": 10_000,
    "connectTimeoutMS": 5_000,
    # Longer than the server itself gives any query of a scan, so that it is the server that ends a slow one.
    "socketTimeoutMS": 270_000,
}
# Unauthorized, AuthenticationFailed, and AtlasError, which Atlas answers to a wrong password.
_UNAUTHORIZED = 13
_REFUSAL_CODES = frozenset({_UNAUTHORIZED, 18, 8000})
_REFUSED_COMMAND = re.compile(r'execute command \{ (\w+): (?:"([^"]+)")?(?:[^,]*, collection: "([^"]+)")?')


def connect(settings: MongoSettings) -> MongoClient[AlertDocument]:
    """Create a client for the server of `settings`; starts the local mongod if no URI is set.

    The caller closes the client. It returns aware dates in UTC. It connects on first use; `open_database` checks
    whether the server answers. Raises SettingsError for a URI that cannot be used, LocalMongodError for the local
    mongod.
    """
    uri = settings.uri if settings.uri is not None else ensure_local_mongod(settings.local_dir)
    in_uri = {name.lower() for name, _ in parse_qsl(uri.partition("?")[2], keep_blank_values=True)}
    defaults = {name: value for name, value in _DEFAULT_OPTIONS.items() if name.lower() not in in_uri}
    try:
        check_options(uri)
        client = MongoClient[AlertDocument](uri, tz_aware=True, **defaults)
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        # Without the cause: the driver quotes a part of the URI, and if an unescaped character split the URI in the
        # wrong place, that is a part of the password.
        raise SettingsError(f"{URI_VARIABLE} cannot be used: {_uri_fault(error)}") from None
    if not client.write_concern.acknowledged:
        client.close()
        raise SettingsError(
            f"{URI_VARIABLE} cannot be used: with w=0 the server does not answer writes, so two scans could hold the "
            "claim and decisions could be lost. Remove w from the URI; the default is majority."
        )
    return client


@contextmanager
def open_database(settings: MongoSettings | None = None) -> Iterator[AlertDatabase]:
    """Open the database of the alerts. A context manager that closes the client at the end.

    Contacts the server once, so a wrong address or password is reported here and not during a scan.

    Args:
        settings: The server and the database. None: MONGODB_URI and MONGODB_DATABASE. Without MONGODB_URI, a local
            mongod is started.

    Yields:
        The database.

    Raises:
        MongoConnectionError: The server does not answer.
        MongoAuthenticationError: The server refuses the user, or later an operation without a right.
        SettingsError: Environment variables are not valid.
        LocalMongodError: The local mongod cannot be started.

    Example:
        >>> with open_database() as db:
        ...     db.alerts.count_documents({"status": "OPEN"})
        1
    """
    settings = settings or MongoSettings.from_env()
    with connect(settings) as client:
        database = known_form(client.get_database(settings.database))
        try:
            # Unlike a ping, a server with access control refuses this to a client without a user.
            database.command("listCollections", nameOnly=True, authorizedCollections=True)
        except PyMongoError as error:
            _raise_named(error, settings)
        try:
            yield database
        except OperationFailure as error:
            if refusal := as_permission_error(error, settings.database):
                raise refusal from error
            raise


def server_now(db: AlertDatabase) -> datetime:
    """Return the server's time, aware, in UTC, to the millisecond: the one clock of all who use a database.

    Raises pymongo.errors.PyMongoError if the server does not answer.
    """
    codec_options = CodecOptions[AlertDocument](tz_aware=True, tzinfo=UTC)
    now: datetime = db.command("hello", codec_options=codec_options)["localTime"]
    return now


def as_permission_error(error: BaseException, database: str) -> MongoAuthenticationError | None:
    """Return an error with the right that the user lacked in `database`; None if `error` has another cause."""
    if not isinstance(error, OperationFailure) or error.code != _UNAUTHORIZED:
        return None
    # The server repeats the whole command, which for a write of thousands of ids does not help a reader.
    asked = _REFUSED_COMMAND.search(str(error))
    what = f"{asked[1]} on {asked[3] or asked[2] or 'all of it'}" if asked else "what was asked"
    return MongoAuthenticationError(
        f"the user of {URI_VARIABLE} lacks the right to do this in the database {database!r}: {what}. "
        "Give the user the role for this task: docs/security.md lists the roles, and mongodb-roles.json has them "
        "(`alert-pipelines init` writes it)"
    )


@at_the_door
def failure_text(db: AlertDatabase, error: BaseException) -> str:
    """Return the text that a job record gets for the error that ended the job."""
    named = as_permission_error(error, db.name) or error
    if isinstance(named, PyMongoError):
        return f"{type(named).__name__}: {reason_of(named)}"
    if not isinstance(named, Exception):
        # A signal, or Dagster's interrupt, which has no message.
        return f"cancelled ({type(named).__name__}{f': {named}' if str(named) else ''})"
    return f"{type(named).__name__}: {named}"


def _uri_fault(error: Exception) -> str:
    if isinstance(error, ConfigurationError | OSError) and not isinstance(error, InvalidURI):
        return f"{str(error).rstrip('.')}."
    return (
        "the driver cannot read it. The form is mongodb://user:password@host:port/?option=value; in user "
        "and password each of : / ? # [ ] @ % must be percent-encoded (urllib.parse.quote_plus does it)."
    )


def _raise_named(error: PyMongoError, settings: MongoSettings) -> NoReturn:
    server = f"the MongoDB server of {URI_VARIABLE}"
    if settings.uri is None:
        server = f"the local MongoDB in {settings.local_dir}"
    reason = reason_of(error)
    if isinstance(error, OperationFailure) and error.code in _REFUSAL_CODES:
        raise MongoAuthenticationError(
            f"{server} refuses access to the database {settings.database!r}: {reason}. Check the user, the "
            f"password and the authSource in {URI_VARIABLE}, and that the user may read and write there."
        ) from error
    raise MongoConnectionError(
        f"{server} cannot be used: {reason}. Check that it runs, that this machine may reach it, and the "
        f"host, port, replicaSet and tls in {URI_VARIABLE}."
    ) from error


STANDALONE = (
    "The MongoDB server is standalone, which is enough for a trial only: each scan examines all pending alerts, and "
    "publishing rules is not atomic. To make it a replica set, start it with `mongod --replSet rs0` and its usual "
    "options, run `mongosh --eval 'rs.initiate()'` once, and add `?replicaSet=rs0` to MONGODB_URI."
)


def is_standalone(db: AlertDatabase) -> bool:
    """Whether the server belongs to no replica set and no cluster: then it has neither transactions nor snapshots."""
    hello = db.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"
