"""Where tests put what waits often for the disk, under a name that tells whose it is."""

import os
import uuid
from pathlib import Path

# None, which tempfile takes as the usual place, where there is none.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None

# In the environment, so that workers, and all that they start, belong to the same run of the suite.
RUN_VARIABLE = "ALERT_PIPELINES_TEST_RUN"
RUN = os.environ.setdefault(RUN_VARIABLE, uuid.uuid4().hex[:8])
PREFIX = f"alert_pipelines_{RUN}_"


def env_of_another_run() -> dict[str, str]:
    """The environment for a run within this one, which is not to take this one's servers for what it has left."""
    return {**os.environ, RUN_VARIABLE: uuid.uuid4().hex[:8]}
