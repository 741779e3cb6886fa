"""MongoDB, as far as it knows nothing of alerts: settings, connections, and the local mongod.

`settings` says which server, `client` opens it, `local` owns the mongod that is started when no server is
named, `mongod_process` starts it. Collections, indexes and documents belong to the packages above.
"""

from alert_pipelines.mongo.client import (
    AlertDatabase,
    AlertDocument,
    MongoAuthenticationError,
    MongoConnectionError,
    connect,
    open_database,
    server_now,
)
from alert_pipelines.mongo.local import ensure_local_mongod, local_mongod_status, stop_local_mongod
from alert_pipelines.mongo.mongod_process import LocalMongod, LocalMongodError
from alert_pipelines.mongo.settings import MongoSettings, MongoSettingsError

__all__ = [
    "AlertDatabase",
    "AlertDocument",
    "LocalMongod",
    "LocalMongodError",
    "MongoAuthenticationError",
    "MongoConnectionError",
    "MongoSettings",
    "MongoSettingsError",
    "connect",
    "ensure_local_mongod",
    "local_mongod_status",
    "open_database",
    "server_now",
    "stop_local_mongod",
]
