"""Tests of alert_pipelines.rules: what the language means, against a reading of its reference page."""
