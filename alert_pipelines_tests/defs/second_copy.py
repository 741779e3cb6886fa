"""A second copy of the code location, on a database beside the first one's."""

from alert_pipelines.definitions import build_defs
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.settings import read_settings

defs = build_defs(
    key_prefix="south", resource_overrides={"mongo": MongoResource(database=f"{read_settings().mongodb_database}_s")}
)
