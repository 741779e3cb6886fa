"""`alerts`: lists alerts."""

from datetime import datetime, timedelta
from shlex import quote

import click

from alert_pipelines.alerts import PENDING, Status
from alert_pipelines.audit.backlog import MAX_COUNTED, AlertFilter, AlertList, list_alerts
from alert_pipelines.cli.options import duration, json_option, text
from alert_pipelines.cli.output import as_text, print_json, print_table
from alert_pipelines.mongo import open_database
from alert_pipelines.mongo.client import server_now
from alert_pipelines.timestamps import as_age

_ANY = "ANY"


@click.group()
def alerts() -> None:
    """List alerts."""


@alerts.command("list")
@click.option("--source", "source_type", type=text, help="Only alerts of this source.")
@click.option("--rule", "rule_id", type=text, metavar="ID", help="Only alerts that this rule decided.")
@click.option("--key", type=text, help="Only alerts with this key: a driver, or the value that the rules group by.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([*map(str, Status), _ANY], case_sensitive=False),
    help="Only this status; may be repeated. Default: pending; with --rule: ANY.",
)
@click.option("--older-than", type=duration, help="Only alerts of at least this age, such as 90m, 8h or 2d.")
@click.option("--newer-than", type=duration, help="Only alerts younger than this.")
@click.option("--limit", type=click.IntRange(1, MAX_COUNTED), default=25, show_default=True, help="Number of alerts.")
@json_option
def list_command(
    *,
    source_type: str | None,
    rule_id: str | None,
    key: str | None,
    statuses: tuple[str, ...],
    older_than: timedelta | None,
    newer_than: timedelta | None,
    limit: int,
    as_json: bool,
) -> None:
    """List alerts. Default: pending alerts.

    The newest come first; with --older-than, the oldest.
    """
    which = AlertFilter(_statuses(statuses, rule_id), source_type, rule_id, key, older_than, newer_than)
    with open_database() as db:
        now = server_now(db)
        found = list_alerts(db, which, limit, now)
    if as_json:
        print_json({"as_of": now, "total": found.total, "alerts": found.alerts})
    else:
        _print(found, which, now)


def _statuses(named: tuple[str, ...], rule_id: str | None) -> tuple[Status, ...] | None:
    if not named:
        return PENDING if rule_id is None else None
    return None if _ANY in named else tuple(map(Status, named))


def _print(found: AlertList, which: AlertFilter, now: datetime) -> None:
    if not found.alerts:
        click.echo("No such alerts.")
        return
    total = f"more than {MAX_COUNTED}" if found.total > MAX_COUNTED else str(found.total)
    pending = "pending alerts" if which.statuses == PENDING else "alerts"
    order = "newest" if which.older_than is None else "oldest"
    more = "; --limit shows more" if found.total > len(found.alerts) else ""
    click.echo(f"{len(found.alerts)} of {total} {pending}, the {order} first{more}:\n")
    print_table(
        ["alert", "source", "severity", "status", "age", "key", "decided by"],
        ((*one[:4], as_age(one.timestamp, now), one.key, one.decided_by) for one in found.alerts),
    )
    click.echo(f"\nWhy, for one of them: alert-pipelines explain {as_text(quote(found.alerts[0].alert_id))}")
