"""`metrics`: the scanner's numbers for Prometheus."""

import importlib
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import ModuleType

import click

from alert_pipelines.cli.options import text
from alert_pipelines.errors import MongoConnectionError
from alert_pipelines.extras import how_to_install
from alert_pipelines.mongo import open_database


@click.group()
def metrics() -> None:
    """Export metrics for Prometheus."""


@metrics.command()
@click.option(
    "--host", type=text, default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all."
)
@click.option("--port", type=click.IntRange(1, 65535), default=9464, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve metrics at /metrics until interrupted. Each request reads the database."""
    exporter = _exporter()
    with open_database() as db, suppress(KeyboardInterrupt):
        exporter.serve_metrics(db, host, port, Event())


@metrics.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def write(file: Path) -> None:
    """Write the metrics to FILE once.

    For the textfile collector of node_exporter, FILE must end in .prom.
    """
    exporter = _exporter()
    try:
        with open_database() as db:
            exporter.write_metrics(db, file)
    except MongoConnectionError:
        # Else the file would go on saying that all is well.
        exporter.write_metrics(None, file)
        raise
    click.echo(f"Written: {click.format_filename(file)}")


def _exporter() -> ModuleType:
    try:
        return importlib.import_module("alert_pipelines.monitoring.metrics")
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise click.ClickException(
            f"prometheus_client is not installed. Install it with {how_to_install('metrics')}"
        ) from error
