"""MongoDB, as far as it knows nothing of alerts: settings, connections, and the local mongod.

`settings` says which server, `client` opens it, `door` brings a caller's own database to the same form, `local` owns
the mongod that is started when no server is named, `mongod_process` starts it. Collections, indexes and documents
belong to the packages above.
"""

from alert_pipelines.mongo.client import AlertDatabase, AlertDocument, connect, open_database, server_now
from alert_pipelines.mongo.door import known_form
from alert_pipelines.mongo.local import ensure_local_mongod, local_mongod_status, stop_local_mongod
from alert_pipelines.mongo.mongod_process import LocalMongod
from alert_pipelines.mongo.settings import MongoSettings

__all__ = [
    "AlertDatabase",
    "AlertDocument",
    "LocalMongod",
    "MongoSettings",
    "connect",
    "ensure_local_mongod",
    "known_form",
    "local_mongod_status",
    "open_database",
    "server_now",
    "stop_local_mongod",
]
