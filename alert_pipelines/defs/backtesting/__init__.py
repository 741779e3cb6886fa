"""The back-test in Dagster, with one partition per day."""
