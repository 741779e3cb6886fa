"""The settings of the MongoDB server. They are checked before anything connects."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from alert_pipelines.errors import SettingsError
from alert_pipelines.settings import (
    DATABASE_FORM,
    DATABASE_VARIABLE,
    URI_FORM,
    URI_VARIABLE,
    database_fault,
    message,
    read_settings,
    uri_fault,
)


@dataclass(frozen=True)
class MongoSettings:
    """The MongoDB server and database. Without `uri`: the local mongod with its files in `local_dir`.

    `database` has the alerts, even if the URI names another one, which only authenticates the user. Raises
    SettingsError for a URI or name that is not valid.
    """

    # Not in the repr: it usually holds a password.
    uri: str | None = field(repr=False)
    database: str
    local_dir: Path

    def __post_init__(self) -> None:
        if self.uri is not None and (fault := uri_fault(self.uri)):
            raise SettingsError(message(URI_VARIABLE, URI_FORM, self.uri, fault))
        if fault := database_fault(self.database):
            raise SettingsError(message(DATABASE_VARIABLE, DATABASE_FORM, self.database, fault))

    @classmethod
    def from_env(cls) -> Self:
        """Read MONGODB_URI, MONGODB_DATABASE and ALERT_PIPELINES_LOCAL_DIR. Raises as `read_settings` does."""
        settings = read_settings()
        return cls(settings.mongodb_uri, settings.mongodb_database, settings.local_dir)
