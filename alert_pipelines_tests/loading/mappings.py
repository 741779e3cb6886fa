"""Mappings and files that the tests of loading share."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

from alert_pipelines.loading import Mapping, load_mapping

FLEET: dict[str, Any] = {
    "format": "csv",
    "alert_id": {"column": "id"},
    "source_type": {"column": "source"},
    "severity": {"column": "severity"},
    "timestamp": {"column": "at"},
    "metadata": {"driver_id": {"column": "driver"}, "speed": {"column": "speed", "type": "float"}},
}
TICKETS: dict[str, Any] = {
    "format": "csv",
    "alert_id": {"column": "id"},
    "source_type": {"constant": "TICKET"},
    "severity": {"constant": "INFO"},
    "timestamp": {"column": "opened"},
    "metadata": {"state": {"column": "state"}, "owner": {"column": "owner"}},
    "events": {
        "time": {"column": "updated"},
        "state": "state",
        "states": {"New": "OPEN", "Hot": "ESCALATED", "Solved": "RESOLVED", "Closed": "AUTO_CLOSED"},
        "actor": {"column": "by", "system": ["robot"]},
    },
}


def mapping(declared: dict[str, Any], **changes: Any) -> Mapping:
    return Mapping.model_validate_json(json.dumps({**declared, **changes}))


def from_yaml(directory: Path, text: str) -> Mapping:
    path = directory / "mapping.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return load_mapping(path)


def write(path: Path, text: str) -> Path:
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return path
