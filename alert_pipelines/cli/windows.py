"""`windows`: check, list, add and end maintenance windows."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from alert_pipelines.cli.options import FILE, as_of_option, ask, json_option, signed, text
from alert_pipelines.cli.output import as_text, number_of, print_fields, print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.rules.maintenance import (
    StoredWindow,
    WindowChange,
    WindowState,
    add_windows,
    end_in_words,
    end_window,
    list_windows,
    signed_windows,
    warnings_of,
)
from alert_pipelines.rules.publish import ChangeKind
from alert_pipelines.rules.window_files import read_windows
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.signature import Signature

_HEADERS = ["window", "state", "from", "to", "recurs", "sources", "alerts", "reason", "by"]


@click.group()
def windows() -> None:
    """Check, list, add and end maintenance windows."""


@windows.command()
@click.argument("file", type=FILE)
def validate(file: Path) -> None:
    """Check a file of maintenance windows."""
    click.echo(f"{len(_read(file))} windows, all valid.")


@windows.command(name="list")
@as_of_option
@click.option("--all", "with_over", is_flag=True, help="Also list windows that are over.")
@json_option
def list_(as_of: datetime | None, with_over: bool, as_json: bool) -> None:
    """List the maintenance windows. Exits with 1 if one is not valid."""
    with open_database() as db:
        found = list_windows(db, as_of=as_of, with_over=with_over)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No maintenance windows.")
    else:
        print_table(_HEADERS, map(_row, found))
    problems = [one.problem for one in found if one.problem]
    if problems:
        raise click.ClickException("\n".join(problems))


@windows.command()
@click.argument("file", type=FILE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@signed
def add(file: Path, yes: bool, signature: Signature) -> None:
    """Add the windows in FILE. Shows the changes and asks first.

    Replaces windows with the same window_id.

    --by and --reason apply to windows without created_by or reason.
    """
    given = signed_windows(_read(file), signature)
    with open_database() as db:
        planned = add_windows(db, given, dry_run=True)
        _print_changes(planned)
        to_write = sum(change.kind is not ChangeKind.SAME for change in planned)
        if to_write and not yes:
            ask(f"Write {number_of(to_write, 'window')} to {db.name}?")
        changes = add_windows(db, given, dry_run=False)
    click.echo(f"{number_of(sum(change.written for change in changes), 'window')} written.")
    missed = [change.window_id for change in changes if change.kind is not ChangeKind.SAME and not change.written]
    if missed:
        raise click.ClickException(f"changed by somebody else in the same moment: {', '.join(missed)}. Run it again.")


@windows.command()
@click.argument("window_id", type=text)
@click.option("--yes", is_flag=True, help="End the window.")
@signed
def end(window_id: str, yes: bool, signature: Signature) -> None:
    """End a window now. Without --yes, only shows what would be ended.

    The next scan can decide its alerts again.
    """
    with open_database() as db:
        found = end_window(db, window_id, dry_run=not yes, signature=signature)
    for one in found:
        if one.state is WindowState.OVER:
            click.echo(f"{one.window_id} is already over.")
        elif one.ended_at is None:
            click.echo(f"{one.window_id} ({one.state}) would be ended. To do it, add --yes.")
        else:
            click.echo(f"{one.window_id} ended at {as_text(one.ended_at)}.")


def _read(file: Path) -> list[MaintenanceWindow]:
    given = read_windows(file)
    for warning in warnings_of(given):
        click.echo(f"Warning: {warning}", err=True)
    return given


def _row(stored: StoredWindow) -> Sequence[Any]:
    window = stored.window
    if window is None:
        return [stored.window_id, stored.state, *[None] * 7]
    sources = ", ".join(window.source_types or ["all"])
    reason = f"{window.reason or ''}{end_in_words(window)}".strip() or None
    about = (window.rrule, sources, window.alerts, reason, window.created_by)
    return [stored.window_id, stored.state, *(stored.span or (None, None)), *about]


def _print_changes(changes: Sequence[WindowChange]) -> None:
    print_table(["window", "state"], [(change.window_id, str(change.kind)) for change in changes])
    for change in changes:
        print_fields(change.window_id, change.fields)
