"""Where tests put what waits often for the disk."""

import os
from pathlib import Path

# None, which tempfile takes as the usual place, where there is none.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
