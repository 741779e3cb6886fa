"""The names of this copy's assets, groups, jobs, schedules, sensors and run tags, with or without a prefix.

One Dagster workspace can have several copies, each with a database and a prefix. The package uses plain names; the
prefix is added in the definitions for Dagster.
"""

from dagster import AssetCheckKey, AssetKey, ConfigurableResource
from pydantic import Field

NAMES = "names"
"""The key of the resource."""


class Names(ConfigurableResource[None]):
    """The names of one copy."""

    prefix: str | None = Field(
        default=None,
        description="Prefix for the names of this copy's assets, groups, jobs, schedules, sensors and tags.",
    )

    def name(self, plain: str) -> str:
        """The name of a group, job, schedule, sensor, run tag or directory of reports."""
        return f"{self.prefix}_{plain}" if self.prefix else plain

    def key(self, plain: AssetKey | str) -> AssetKey:
        """The key of an asset."""
        path = [plain] if isinstance(plain, str) else plain.path
        return AssetKey([self.prefix, *path] if self.prefix else path)

    def check(self, plain: AssetCheckKey) -> AssetCheckKey:
        """The key of a check: its asset's is prefixed, its own name is not."""
        return AssetCheckKey(self.key(plain.asset_key), plain.name)
