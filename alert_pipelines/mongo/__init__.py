"""MongoDB, as far as it knows nothing of alerts: settings, connections, and the local mongod.

`settings` says which server, `client` opens it, `door` brings a caller's own database to the same form, `local` owns
the mongod that is started when no server is named, `mongod_process` starts it. Collections, indexes and documents
belong to the packages above.
"""

from alert_pipelines.mongo.client import AlertDatabase as AlertDatabase
from alert_pipelines.mongo.client import AlertDocument as AlertDocument
from alert_pipelines.mongo.client import connect as connect
from alert_pipelines.mongo.client import open_database as open_database
from alert_pipelines.mongo.client import server_now as server_now
from alert_pipelines.mongo.door import known_form as known_form
from alert_pipelines.mongo.local import ensure_local_mongod as ensure_local_mongod
from alert_pipelines.mongo.local import local_mongod_status as local_mongod_status
from alert_pipelines.mongo.local import stop_local_mongod as stop_local_mongod
from alert_pipelines.mongo.mongod_process import LocalMongod as LocalMongod
from alert_pipelines.mongo.settings import MongoSettings as MongoSettings
