"""The Dagster layer: what the UI shows and what the daemon runs. It wires the packages below and decides nothing."""
