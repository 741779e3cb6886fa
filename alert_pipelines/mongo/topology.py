"""What kind of server this is: what a standalone one cannot do."""

from alert_pipelines.mongo.client import AlertDatabase


def is_standalone(db: AlertDatabase) -> bool:
    """Whether the server belongs to no replica set and no cluster: then it has neither transactions nor snapshots."""
    hello = db.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"
