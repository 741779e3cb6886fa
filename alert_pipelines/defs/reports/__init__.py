"""The daily report in Dagster: a partition a day."""
