"""`mongo`: the local MongoDB."""

import click

from alert_pipelines.mongo import MongoSettings, ensure_local_mongod, local_mongod_status, stop_local_mongod


@click.group()
def mongo() -> None:
    """Start, stop and find the local MongoDB.

    Commands use the local MongoDB if MONGODB_URI is not set.
    """
    if MongoSettings.from_env().uri is not None:
        click.echo("MONGODB_URI is set: that server is used, not the local one.", err=True)


@mongo.command()
def start() -> None:
    """Start the local MongoDB if it is not running, and print its URI."""
    click.echo(ensure_local_mongod(MongoSettings.from_env().local_dir))


@mongo.command()
def stop() -> None:
    """Stop the local MongoDB."""
    stopped = stop_local_mongod(MongoSettings.from_env().local_dir)
    again = "A running scripts/dev starts it again with its next scan, and so does any command."
    click.echo(f"Stopped. {again}" if stopped else "It was not running.")


@mongo.command()
@click.pass_context
def status(ctx: click.Context) -> None:
    """Print URI, process and directory of the local MongoDB. Exits with 1 if it is not running."""
    local_dir = MongoSettings.from_env().local_dir
    mongod = local_mongod_status(local_dir)
    if mongod is None:
        click.echo(f"No local MongoDB runs on {local_dir}.")
        ctx.exit(1)
    click.echo(f"{mongod.uri}, process {mongod.pid}, data in {mongod.data_dir}")
