"""Tests of alert_pipelines.mongo."""
