"""How many examples a property test tries.

ALERT_PIPELINES_EXAMPLES sets how many; then they are drawn at random, otherwise they are the same few every time.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

_EXAMPLES = os.environ.get("ALERT_PIPELINES_EXAMPLES")


def examples(usual: int) -> Callable[[Any], Any]:
    """Try `usual` examples unless told otherwise."""
    return settings(
        max_examples=int(_EXAMPLES or usual),
        derandomize=_EXAMPLES is None,
        deadline=None,
        database=None,
        # Every example empties the one database that the test has.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        print_blob=True,
    )
