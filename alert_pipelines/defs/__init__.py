"""The Dagster layer: what the UI shows and what the daemon runs. The logic is in the other packages."""
