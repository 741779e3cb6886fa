"""The export that the tests of loading share."""

from pathlib import Path

import pytest

from .loads import EXPORT
from .mappings import write


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path / "export.csv", EXPORT)
