"""Files of maintenance windows, YAML or JSON: a list of windows, bare or under `windows`."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from alert_pipelines.errors import InvalidTimestampError, RuleFileError, WindowFileError
from alert_pipelines.rules.validation import parse_all, parse_window
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.timestamps import parse_timestamp
from alert_pipelines.yaml_files import read_content

_TIMESTAMPS = ("from", "to", "ended_at")


def read_windows(path: Path) -> list[MaintenanceWindow]:
    """Read the windows of a file, all checked. Raises RuleFileError."""
    content = read_content(path, "window file", RuleFileError)
    if isinstance(content, Mapping) and set(content) == {"windows"}:
        content = content["windows"]
    if not isinstance(content, list):
        raise WindowFileError(
            f"{path} is not a valid window file: expected 'windows:' with a list of maintenance windows; "
            f"got a {type(content).__name__}"
        )
    windows, problems = parse_all(
        enumerate(content, 1), lambda one: _parse(*one), lambda window: f"maintenance window {window.window_id}"
    )
    if problems:
        raise WindowFileError(
            "\n  ".join([f"{path}: the windows cannot be used:", *problems]) + "\nSee docs/windows.md."
        )
    return windows


def _parse(number: int, document: Any) -> MaintenanceWindow:
    if not isinstance(document, Mapping):
        raise WindowFileError(
            f"maintenance window {number}: expected fields such as from and to; got {document!r:.100}"
        )
    if not document.get("window_id"):
        # What is added again has to be found again.
        raise WindowFileError(f"maintenance window {number}: window_id is missing: give each window a name")
    return parse_window({str(name): _as_timestamp(name, value) for name, value in document.items()})


def _as_timestamp(name: Any, value: Any) -> Any:
    if name not in _TIMESTAMPS or isinstance(value, datetime) or not isinstance(value, str | date):
        return value
    try:
        return parse_timestamp(str(value))
    except InvalidTimestampError as error:
        raise WindowFileError(f"{name}: {error}") from error
