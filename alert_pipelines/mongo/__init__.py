"""Connections to MongoDB and the local mongod. Nothing here depends on alerts.

`settings` names the server, `client` opens it, `door` brings a caller's database into the form that this project uses,
`local` manages the mongod that is started if no server is named, and `mongod_process` starts it.
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
