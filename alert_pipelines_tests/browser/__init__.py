"""What people see: a headless Chromium on the UI of a real Dagster."""
