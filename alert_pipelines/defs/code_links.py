"""Links from each asset to its code: a file of this checkout, or a page below ALERT_PIPELINES_CODE_URL.

The code is named but not imported, since each run loads this module. The link leads to the file, and its label names
the function or class.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster import AssetsDefinition, AssetSpec, CodeReferencesMetadataValue, LocalFileCodeReference, UrlCodeReference

from alert_pipelines.defs import asset_specs
from alert_pipelines.defs.dagster_internals import disable_dagster_warnings

CODE: Mapping[str, Sequence[str]] = {
    asset_specs.ALERTS: ("alerts.model:Alert", "loading.load:load_alerts"),
    asset_specs.ALERT_RULES: ("rules.model:Rule", "rules.model:Conditions", "rules.publish:publish_rules"),
    asset_specs.CLOSED: ("scanner.scan:run_scan", "scanner.plan:make_plan", "scanner.apply:apply_plan"),
    asset_specs.ESCALATED: ("scanner.scan:run_scan", "scanner.plan:make_plan", "scanner.apply:apply_plan"),
    asset_specs.JOBS: ("job_records:create_job_record", "job_records:update_job_record"),
    asset_specs.HEALTH: ("monitoring.health:scans_are_fresh", "index_advice.advice:advise"),
    asset_specs.TODAY: ("monitoring.rule_activity:activity_by_rule", "audit.forecast:forecast"),
    asset_specs.RULES_OVERVIEW: ("rules.sentences:sentence", "monitoring.rule_activity:activity_by_rule"),
    asset_specs.DRY_RUNS: ("scanner.scan:run_scan", "scanner.plan:make_plan"),
    asset_specs.SHADOW: ("scanner.plan:make_plan",),
    "backtest": ("backtesting.backtest:backtest_day",),
    "daily_report": ("reports.activity:changes",),
}
"""By asset, the functions and classes that make it: module below this package, colon, name."""

_PACKAGE = Path(__file__).resolve().parents[1]


def with_code_links(
    assets: Sequence[AssetsDefinition | AssetSpec], base: str | None
) -> list[AssetsDefinition | AssetSpec]:
    """`assets`, each with links to what CODE names for it: files, or pages below `base`."""

    def linked(spec: AssetSpec) -> AssetSpec:
        found = [_reference(code, base) for code in CODE[spec.key.to_user_string()]]
        references = CodeReferencesMetadataValue(code_references=[one for one in found if one is not None])
        return spec.replace_attributes(metadata={**spec.metadata, "dagster/code_references": references})

    # The links are beta in Dagster, and say so.
    with disable_dagster_warnings():
        return [linked(one) if isinstance(one, AssetSpec) else one.map_asset_specs(linked) for one in assets]


def _reference(code: str, base: str | None) -> LocalFileCodeReference | UrlCodeReference | None:
    """The link to `code`; None where the package is installed without its sources."""
    module, _, name = code.partition(":")
    path = _PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        return None
    # The name alone: the UI cuts longer labels in their middle, so that two of one asset looked the same.
    if base:
        return UrlCodeReference(url=f"{base}/{path.relative_to(_PACKAGE.parent).as_posix()}", label=name)
    return LocalFileCodeReference(file_path=str(path), label=name)
