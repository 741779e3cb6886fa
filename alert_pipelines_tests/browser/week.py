"""What the demo loads, in a database of its own: the sample week and the default rules."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alert_pipelines.loading.sample_week import insert_week
from alert_pipelines.mongo import AlertDatabase, MongoSettings, open_database
from alert_pipelines.mongo.client import server_now
from alert_pipelines.rules.files import default_rules
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.prepare import prepare_collections


@contextmanager
def sample_week(mongo_uri: str, name: str | None = None) -> Iterator[AlertDatabase]:
    """Make it on the server of `mongo_uri`, under a name of its own unless one is given; drop it with the context.

    A database that has the name already is dropped first.
    """
    with open_database(MongoSettings(mongo_uri, name or f"test_{uuid.uuid4().hex}", Path())) as db:
        db.client.drop_database(db.name)
        prepare_collections(db)
        publish_rules(db, default_rules())
        insert_week(db, 1, server_now(db))
        yield db
        db.client.drop_database(db.name)
