"""alert_pipelines: closes and escalates alerts by rule, on MongoDB, run by Dagster."""
