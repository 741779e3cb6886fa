"""`alert-pipelines doctor`: lists what is missing in the Dagster instance and in the database.

The command needs Dagster, so it is not in `cli`, which loads it by its name. Its help does not load Dagster.
"""

import sys
from collections.abc import Iterator
from itertools import chain

import click

from alert_pipelines.cli.options import json_option
from alert_pipelines.cli.output import print_json, print_table
from alert_pipelines.errors import AlertPipelinesError, SettingsError
from alert_pipelines.mongo.client import open_database
from alert_pipelines.monitoring.fitness import Finding, Level, database_findings
from alert_pipelines.settings import Settings, read_settings

PAGE = "docs/add-to-dagster.md"


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check that scans can run: Dagster and the database.

    Looks at the Dagster instance of DAGSTER_HOME. Exits with 1 if anything is missing.

    Run it with the environment of the code server. Nothing is changed.
    """
    findings = list(_look())
    if as_json:
        print_json(findings)
    else:
        print_table(Finding._fields, findings)
        worst = [finding for finding in findings if finding.level is not Level.OK]
        click.echo(f"{PAGE} says what each means." if worst else "Nothing is missing.")
    sys.exit(any(finding.level is Level.MISSING for finding in findings))


def _look() -> Iterator[Finding]:
    try:
        settings = read_settings()
    except SettingsError as fault:
        yield Finding(Level.MISSING, "settings", str(fault))
        return
    yield Finding(Level.OK, "settings", "all are valid")
    yield from chain(_of_instance(settings), _of_database())


def _of_instance(settings: Settings) -> Iterator[Finding]:
    from dagster import DagsterError, DagsterInstance  # noqa: PLC0415

    from alert_pipelines.defs.monitoring.instance_findings import instance_findings  # noqa: PLC0415

    try:
        instance = DagsterInstance.get()
    except DagsterError as fault:
        yield Finding(
            Level.MISSING,
            "DAGSTER_HOME",
            f"Dagster finds no instance: {' '.join(str(fault).split()):.300}. Set it to the absolute path of the "
            "directory that the daemon uses",
        )
        return
    with instance:
        yield from instance_findings(instance, settings)


def _of_database() -> Iterator[Finding]:
    try:
        with open_database() as db:
            yield from database_findings(db)
    except AlertPipelinesError as fault:
        yield Finding(Level.MISSING, "MongoDB", str(fault))
