"""The Dagster resources: the database and the rule engine.

Neither is nested in the other: a nested resource that is also given at top level is set up twice. No address and no
password is a field here, since Dagster shows the fields of resources to everyone.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dagster import ConfigurableResource
from pydantic import Field

from alert_pipelines.index_advice.advice import lacking_indexes
from alert_pipelines.mongo.client import AlertDatabase, open_database
from alert_pipelines.mongo.settings import MongoSettings
from alert_pipelines.rules.files import default_rules, read_rules
from alert_pipelines.rules.model import Rule
from alert_pipelines.rules.publish import RuleChange, diff_rules, publish_rules
from alert_pipelines.rules.store import rules_if_published
from alert_pipelines.scanner.context import Progress
from alert_pipelines.scanner.result import ScanReport, ScanRequest
from alert_pipelines.scanner.scan import run_scan
from alert_pipelines.signature import UNSIGNED, Signature

_log = logging.getLogger(__name__)


class MongoResource(ConfigurableResource[None]):
    """The MongoDB in MONGODB_URI and MONGODB_DATABASE. Without MONGODB_URI, the local mongod."""

    database: str | None = Field(
        default=None, description="Name of the database. Overrides MONGODB_DATABASE; the server stays the same."
    )

    @contextmanager
    def open(self) -> Iterator[AlertDatabase]:
        """Open the database for one use; always closed. Raises as `open_database` does."""
        settings = MongoSettings.from_env()
        if self.database is not None:
            settings = replace(settings, database=self.database)
        with open_database(settings) as db:
            yield db


class RuleEngine(ConfigurableResource[None]):
    """Publishes rules to the database, and evaluates them there."""

    max_close_fraction: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="If a scan would close more than this fraction of the pending alerts, it closes none. "
        "Empty: AUTO_CLOSE_MAX_FRACTION, or 0.5.",
    )

    def scan(self, db: AlertDatabase, request: ScanRequest, on_progress: Progress) -> ScanReport:
        """Do one scan under this engine's limit; a dry run also says which index is missing. Raises as `run_scan`."""
        if request.dry_run:
            _warn_of_missing_indexes(db, rules_if_published(db, request.rules or ()).rule_set.rules)
        return run_scan(db, replace(request, max_close_fraction=self.max_close_fraction), on_progress)

    def publish(
        self,
        db: AlertDatabase,
        path: Path | None,
        *,
        overwrite: bool = False,
        dry_run: bool = False,
        signature: Signature = UNSIGNED,
    ) -> list[RuleChange]:
        """Publish the rules of the file `path` (None: the package's own) and return what changed or would change.

        Rules that a person changed are overwritten only on `overwrite`. Raises as `read_rules` and `publish_rules`.
        """
        rules: list[Rule] = default_rules() if path is None else read_rules(path)
        _warn_of_missing_indexes(db, rules)
        if dry_run:
            return diff_rules(db, rules)
        return publish_rules(db, rules, overwrite=overwrite, signature=signature)


def _warn_of_missing_indexes(db: AlertDatabase, rules: Iterable[Rule]) -> None:
    for lacking in lacking_indexes(db, rules):
        _log.warning("%s", lacking)
