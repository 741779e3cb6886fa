"""What the attempts share: the figures that docs/reliability.md is written from."""

import logging
from collections.abc import Callable

import pytest

Figures = Callable[..., None]

_log = logging.getLogger("reliability")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Logs the numbers that a test counted; `--log-cli-level=INFO` shows them."""

    def keep(**numbers: float) -> None:
        _log.info("%s: %s", request.node.name, ", ".join(f"{name} {value:g}" for name, value in numbers.items()))

    return keep
