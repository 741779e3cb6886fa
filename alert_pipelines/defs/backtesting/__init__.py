"""The back-test in Dagster: a partition a day."""
