"""From each asset to the code that makes it: a file of this checkout, or a page below ALERT_PIPELINES_CODE_URL."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from dagster import (
    AssetsDefinition,
    AssetSpec,
    CodeReferencesMetadataValue,
    LocalFileCodeReference,
    UrlCodeReference,
)
from dagster._utils.warnings import disable_dagster_warnings

import alert_pipelines
from alert_pipelines.alerts import Alert
from alert_pipelines.defs import asset_specs
from alert_pipelines.job_records import create_job_record, update_job_record
from alert_pipelines.loading.load import load_alerts
from alert_pipelines.reports.activity import changes
from alert_pipelines.rules.model import Conditions, Rule
from alert_pipelines.rules.publish import publish_rules
from alert_pipelines.scanner.apply import apply_plan
from alert_pipelines.scanner.backtest import backtest_day
from alert_pipelines.scanner.plan import make_plan
from alert_pipelines.scanner.scan import run_scan

CODE_URL_VARIABLE = "ALERT_PIPELINES_CODE_URL"

Code: TypeAlias = Callable[..., Any]

CODE: Mapping[str, Sequence[Code]] = {
    asset_specs.ALERTS: (Alert, load_alerts),
    asset_specs.ALERT_RULES: (Rule, Conditions, publish_rules),
    asset_specs.CLOSED: (run_scan, make_plan, apply_plan),
    asset_specs.ESCALATED: (run_scan, make_plan, apply_plan),
    asset_specs.JOBS: (create_job_record, update_job_record),
    asset_specs.DRY_RUNS: (run_scan, make_plan),
    asset_specs.SHADOW: (make_plan,),
    "backtest": (backtest_day,),
    # Its pandas side is named by its reader: loading it here would load pandas with the code server.
    "daily_report": (changes,),
}

_ROOT = Path(inspect.getfile(alert_pipelines)).parents[1]


def with_code_links(
    assets: Sequence[AssetsDefinition | AssetSpec], environ: Mapping[str, str] = os.environ
) -> list[AssetsDefinition | AssetSpec]:
    """`assets`, each with links to what CODE names for it."""
    base = environ.get(CODE_URL_VARIABLE, "").strip().rstrip("/")

    def linked(spec: AssetSpec) -> AssetSpec:
        things = CODE[spec.key.to_user_string()]
        references = CodeReferencesMetadataValue(code_references=[_reference(thing, base) for thing in things])
        return spec.replace_attributes(metadata={**spec.metadata, "dagster/code_references": references})

    # The links are beta in Dagster, and say so.
    with disable_dagster_warnings():
        return [linked(one) if isinstance(one, AssetSpec) else one.map_asset_specs(linked) for one in assets]


def _reference(thing: Code, base: str) -> LocalFileCodeReference | UrlCodeReference:
    path = Path(inspect.getfile(thing)).resolve()
    line = inspect.getsourcelines(thing)[1]
    label = f"{thing.__module__}.{thing.__qualname__}"
    if base:
        return UrlCodeReference(url=f"{base}/{path.relative_to(_ROOT.resolve()).as_posix()}#L{line}", label=label)
    return LocalFileCodeReference(file_path=str(path), line_number=line, label=label)
