"""Getting alerts into the database: a file by a declared mapping, or a generated week.

What the alerts' documents look like is `alerts`' matter; what happens to them afterwards is the scan's.
"""

from alert_pipelines.loading.load import LoadReport, load_alerts
from alert_pipelines.loading.mapping import Mapping, load_mapping, parse_mapping
from alert_pipelines.loading.presets import load_preset, preset_names, preset_text
from alert_pipelines.loading.preview import Preview, preview
from alert_pipelines.loading.sample_week import generate_week, insert_week

__all__ = [
    "LoadReport",
    "Mapping",
    "Preview",
    "generate_week",
    "insert_week",
    "load_alerts",
    "load_mapping",
    "load_preset",
    "parse_mapping",
    "preset_names",
    "preset_text",
    "preview",
]
