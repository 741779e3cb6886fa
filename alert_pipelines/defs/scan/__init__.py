"""The scan in Dagster: its asset, job, schedule, records, and what ends scans whose process died."""
