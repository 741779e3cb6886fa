"""What kind of server this is: what a standalone one cannot do."""

from alert_pipelines.mongo.client import AlertDatabase

STANDALONE = (
    "The MongoDB server is standalone, which serves for trying out: each scan looks at all pending alerts, and rules "
    "are not published all at once. To make it a replica set, start it with `mongod --replSet rs0` and its usual "
    "options, run `mongosh --eval 'rs.initiate()'` once, and add `?replicaSet=rs0` to MONGODB_URI."
)


def is_standalone(db: AlertDatabase) -> bool:
    """Whether the server belongs to no replica set and no cluster: then it has neither transactions nor snapshots."""
    hello = db.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"
