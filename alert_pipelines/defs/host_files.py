"""Checks the files and directories in a run's config, since everybody who can reach the UI can name any file."""

from pathlib import Path

from dagster import DagsterInstance

from alert_pipelines.errors import ForbiddenFileError

# Among them the run's own environment, with its passwords: an error that quotes a file would show it to everyone.
_SYSTEM_TREES = (Path("/proc"), Path("/sys"), Path("/dev"))


def host_file(text: str) -> Path:
    """The file that `text` names. Raises ForbiddenFileError for one in /proc, /sys or /dev, also by a link."""
    path = Path(text)
    if any(path.resolve().is_relative_to(tree) for tree in _SYSTEM_TREES):
        raise ForbiddenFileError(f"the file {text!r:.200} is the system's own: name one of your own")
    return path


def report_root(report_dir: str | None, instance: DagsterInstance, name: str) -> Path:
    """Where reports are kept: `report_dir`, or else `name` in the Dagster home. Raises ForbiddenFileError."""
    return host_file(report_dir) if report_dir else Path(instance.root_directory) / name
