"""The check for conditions that read too many documents, with its job and its daily schedule.

It is not part of a scan, since it runs each rule again under the server's `explain`.
"""

from collections.abc import Iterator

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetSelection, multi_asset_check

from alert_pipelines.defs.asset_specs import HEALTH
from alert_pipelines.defs.background_jobs import background_job, background_schedule
from alert_pipelines.defs.failures import as_dagster_failure
from alert_pipelines.defs.names import Names
from alert_pipelines.defs.resources import MongoResource
from alert_pipelines.defs.tables import table
from alert_pipelines.index_advice.advice import Advice, advise
from alert_pipelines.mongo.client import server_now

CREATE = "alert-pipelines indexes create"

INDEX_ADVICE = AssetCheckSpec(
    "index_advice",
    asset=HEALTH,
    description="Lists conditions that read too many documents, and suggests indexes. Creates nothing.",
)

_COLUMNS = ("rule", "condition", "examined", "returned", "index", "description")


@multi_asset_check(specs=[INDEX_ADVICE])
def index_advice(mongo: MongoResource, names: Names) -> Iterator[AssetCheckResult]:
    """Read the plan of each condition; warn of the wasteful ones, with the index that would help."""
    with as_dagster_failure(), mongo.open() as db:
        advice = advise(db, server_now(db))
    yield AssetCheckResult(
        check_name=INDEX_ADVICE.name,
        asset_key=names.key(INDEX_ADVICE.asset_key),
        passed=not advice,
        # The rules decide what they should all the same, only more slowly.
        severity=AssetCheckSeverity.WARN,
        description="\n".join(map(_in_words, advice)) or "No condition reads too many documents.",
        metadata={"conditions": len(advice), "database": db.name, "advice": table(_COLUMNS, map(_row, advice))},
    )


check_indexes_job = background_job(
    "check_indexes_job",
    AssetSelection.checks(INDEX_ADVICE.key),
    "Find rules that read far more than they need, and the indexes that would help.",
)

check_indexes_schedule = background_schedule(
    check_indexes_job, "42 3 * * *", "Checks once a day whether rules read far more than they need."
)


def _in_words(one: Advice) -> str:
    created_by = f" Create it: `{CREATE}`." if one.indexes else ""
    return f"{one.rule_id}, {one.condition}: {one.description}.{created_by}"


def _row(one: Advice) -> tuple[str | int | None, ...]:
    names = ", ".join(index.name for index in one.indexes)
    return one.rule_id, one.condition, one.examined, one.returned, names, one.description
