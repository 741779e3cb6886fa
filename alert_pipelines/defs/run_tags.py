"""Tags that put runs in their place in the queue."""

# Whatever nobody waits for goes behind all else, and keeps a scan waiting for minutes at the very worst.
BACKGROUND_TAGS = {"dagster/priority": "-10", "dagster/max_runtime": "120"}
