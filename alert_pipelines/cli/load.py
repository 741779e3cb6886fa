"""`load`: alerts from a file into the database."""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click
import yaml

from alert_pipelines.cli.options import FILE, timestamp
from alert_pipelines.cli.output import as_text
from alert_pipelines.loading import LoadReport, Mapping, Preview, load_alerts, load_mapping, load_preset, preview
from alert_pipelines.mongo import open_database

SOME_REJECTED = 4
_SHOWN_ALERTS = 10
_NEVER_FOLD = 1_000_000
_NOTHING = "no row could be used: correct the mapping, and load the file again"

_log = logging.getLogger(__name__)


class _Repeating(yaml.SafeDumper):
    """Writes a date again where it stands twice, and not a mark of where it stood before."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@click.command()
@click.argument("file", type=FILE)
@click.option("--mapping", type=FILE, help="File that maps columns to fields (docs/loading.md).")
@click.option("--preset", metavar="NAME", help="Mapping of the package, such as pagerduty (docs/presets.md).")
@click.option("--until", type=timestamp, help="Load FILE as it was at this time.")
@click.option("--update", is_flag=True, help="Update existing alerts from FILE.")
@click.option("--check", is_flag=True, help="Write nothing. Show what the first 1,000 rows become.")
@click.option("--reject", type=click.Path(dir_okay=False, path_type=Path), help="File for rejected rows.")
def load(
    file: Path,
    *,
    mapping: Path | None,
    preset: str | None,
    until: datetime | None,
    update: bool,
    check: bool,
    reject: Path | None,
) -> None:
    """Load alerts from CSV, JSON, Excel or Parquet.

    Existing alerts are not changed, unless you add --update. It keeps decisions by rules and people.

    Exits with 1 if no row could be used, and with 4 if some rows were rejected.
    """
    declared = _declared(mapping, preset)
    if check:
        _check(preview(file, declared, until))
        return
    with open_database() as db:
        report = load_alerts(
            db,
            file,
            declared,
            until=until,
            reject_path=reject,
            update=update,
            on_progress=lambda done: _log.info("%s", done.progress()),
        )
    click.echo(f"{report.rows_read} rows read in {report.seconds:.1f} s: {counts(report, update=update)}")
    for line in notes(report, update=update):
        click.echo(line)
    for line in report.summary.lines():
        click.echo(as_text(line))
    if report.reject_path:
        _explain_rejects(report, report.reject_path)


def counts(report: LoadReport, *, update: bool) -> str:
    """What became of the rows, in one line."""
    there = f"{report.alerts_already_there} already there"
    if update:
        unchanged = report.alerts_already_there - report.alerts_updated
        there = f"{report.alerts_updated} updated, {unchanged} unchanged"
    return (
        f"{report.alerts_inserted} alerts inserted, {there}, {report.rows_after_until} rows after --until, "
        f"{report.rows_rejected} rejected"
    )


def notes(report: LoadReport, *, update: bool) -> Iterator[str]:
    """What of the alerts that were there, or of those that are none, is worth a line."""
    if report.alerts_differ:
        differs = "1 differs" if report.alerts_differ == 1 else f"{report.alerts_differ:,} differ"
        then = "others changed them during the load: load the file again" if update else "--update applies the file"
        yield f"{differs} from the file: {then}"
    if report.decisions_kept:
        yield (
            f"{report.decisions_kept:,} of them keep the status that a rule or a person decided here; the file has "
            "another status"
        )
    if report.never_fired:
        yield f"{report.never_fired:,} ids of the log never fired: no alert was made of them"


def _declared(mapping: Path | None, preset: str | None) -> Mapping:
    if mapping is not None and preset is None:
        return load_mapping(mapping)
    if preset is not None and mapping is None:
        return load_preset(preset)
    raise click.UsageError("write one of --mapping FILE and --preset NAME; `mapping draft FILE` drafts a mapping")


def _check(found: Preview) -> None:
    rows = "all" if found.is_whole_file else "the first"
    click.echo(f"Of {rows} {found.rows_read:,} rows: {len(found.alerts):,} alerts, {found.rows_rejected:,} rejected")
    for line in found.summary.lines():
        click.echo(as_text(line))
    for reason in found.reject_reasons:
        click.echo(f"  {as_text(reason)}")
    for alert in found.alerts[:_SHOWN_ALERTS]:
        click.echo("---")
        click.echo(
            yaml.dump(alert, Dumper=_Repeating, sort_keys=False, allow_unicode=True, width=_NEVER_FOLD), nl=False
        )
    if fault := found.fault or found.broken:
        raise click.ClickException(fault)
    if found.rows_rejected:
        if not found.alerts:
            raise click.ClickException(_NOTHING)
        raise click.exceptions.Exit(SOME_REJECTED)


def _explain_rejects(report: LoadReport, reject_path: Path) -> None:
    for reason in report.reject_reasons:
        click.echo(f"  {as_text(reason)}")
    click.echo(f"Rejected rows, each with its reason: {click.format_filename(reject_path)}")
    if report.nothing_usable:
        raise click.ClickException(_NOTHING)
    raise click.exceptions.Exit(SOME_REJECTED)
