"""Where the alerts' MongoDB is: three settings, read from the environment in one place.

Nothing here connects to anything; an unusable setting is named before any socket is opened.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from alert_pipelines.errors import AlertPipelinesError

URI_VARIABLE = "MONGODB_URI"
DATABASE_VARIABLE = "MONGODB_DATABASE"
LOCAL_DIR_VARIABLE = "ALERT_PIPELINES_LOCAL_DIR"

DEFAULT_DATABASE = "alert_management"

_URI_SCHEMES = ("mongodb://", "mongodb+srv://")
# What the server itself refuses in a database's name, on any platform.
_FORBIDDEN_IN_NAMES = frozenset('/\\. "$*<>:|?\0')
_LONGEST_NAME_BYTES = 63
_SERVER_DATABASES = frozenset({"admin", "config", "local"})


class MongoSettingsError(AlertPipelinesError):
    """A setting that names the MongoDB to use cannot be used."""


@dataclass(frozen=True)
class MongoSettings:
    """Which MongoDB to use; without a `uri` it is the local mongod that keeps its files in `local_dir`.

    `database` is the one that holds the alerts, also where the URI names another (that one is where the
    URI's user is looked up). Raises MongoSettingsError for an unusable URI or name of a database.
    """

    # Not in the repr: it usually holds a password.
    uri: str | None = field(repr=False)
    database: str
    local_dir: Path

    def __post_init__(self) -> None:
        if self.uri is not None and not self.uri.startswith(_URI_SCHEMES):
            raise MongoSettingsError(
                f"{URI_VARIABLE} is no MongoDB URI: it must begin with mongodb:// or mongodb+srv://. "
                "Correct it, or unset it to use the local MongoDB."
            )
        fault = _fault_of_name(self.database)
        if fault:
            raise MongoSettingsError(
                f"{DATABASE_VARIABLE}={self.database!r} is no name for the alerts' database: {fault}. "
                f"Choose another, or unset it to use {DEFAULT_DATABASE!r}."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read MONGODB_URI, MONGODB_DATABASE and ALERT_PIPELINES_LOCAL_DIR; blank ones count as unset.

        A relative directory is taken from the current one, at this moment.
        Raises MongoSettingsError as the class does.
        """

        def setting(name: str) -> str | None:
            return environ.get(name, "").strip() or None

        local_dir = setting(LOCAL_DIR_VARIABLE)
        return cls(
            uri=setting(URI_VARIABLE),
            database=setting(DATABASE_VARIABLE) or DEFAULT_DATABASE,
            local_dir=Path(local_dir).absolute() if local_dir else _default_local_dir(),
        )


def _fault_of_name(database: str) -> str | None:
    forbidden = sorted(_FORBIDDEN_IN_NAMES & set(database))
    if not database:
        return "it is empty"
    if forbidden:
        return f"it contains {' '.join(map(repr, forbidden))}"
    try:
        encoded = database.encode()
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if len(encoded) > _LONGEST_NAME_BYTES:
        return f"it is longer than {_LONGEST_NAME_BYTES} bytes"
    if database in _SERVER_DATABASES:
        return "the server keeps its own data there"
    return None


def _default_local_dir() -> Path:
    checkout = Path(__file__).resolve().parents[2]
    base = checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
    return base / ".local"
