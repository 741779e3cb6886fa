"""`pending`: how many alerts are pending, by source and age."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from alert_pipelines.audit.backlog import PendingOfAge, pending_by_age
from alert_pipelines.cli.options import json_option
from alert_pipelines.cli.output import as_text, print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.mongo.client import server_now
from alert_pipelines.timestamps import as_age

_SHOWN = 25


@click.command()
@json_option
def pending(as_json: bool) -> None:
    """Count the pending alerts by source and age."""
    with open_database() as db:
        now = server_now(db)
        found = pending_by_age(db, now)
        name = db.name
    if as_json:
        print_json({"as_of": now, "sources": found})
        return
    total, escalated = sum(one.alerts for one in found), sum(one.escalated for one in found)
    click.echo(f"{total} pending alerts in {name}, {escalated} of them escalated, as of {as_text(now)}")
    if not found:
        return
    without = [one for one in found if one.no_date]
    headers = ["source", "pending", "escalated", "< 1 h", "< 1 d", "< 7 d", "older", "oldest"]
    click.echo("")
    print_table([*headers, "no date"] if without else headers, _rows(found[:_SHOWN], now, with_no_date=bool(without)))
    if len(found) > _SHOWN:
        click.echo(f"\n{len(found) - _SHOWN} more sources, with fewer: --json lists all.")
    if without:
        dateless = sum(one.no_date for one in without)
        click.echo(
            f"\nPending without a date: {dateless}. No rule can decide these; `alert-pipelines jobs show` lists them."
        )


def _rows(found: Sequence[PendingOfAge], now: Any, *, with_no_date: bool) -> Iterator[list[Any]]:
    for one in found:
        ages = [one.under_hour, one.under_day, one.under_week, one.older]
        row = [one.source_type, one.alerts, one.escalated, *ages, as_age(one.oldest, now)]
        yield [*row, one.no_date] if with_no_date else row
