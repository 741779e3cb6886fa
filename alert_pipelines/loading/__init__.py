"""Loads alerts into the database: from a file, by a mapping, or a generated week.

`alerts` defines the documents of alerts.
"""

from alert_pipelines.loading.load import LoadReport as LoadReport
from alert_pipelines.loading.load import load_alerts as load_alerts
from alert_pipelines.loading.mapping import Mapping as Mapping
from alert_pipelines.loading.mapping import load_mapping as load_mapping
from alert_pipelines.loading.mapping import parse_mapping as parse_mapping
from alert_pipelines.loading.presets import load_preset as load_preset
from alert_pipelines.loading.presets import preset_names as preset_names
from alert_pipelines.loading.presets import preset_text as preset_text
from alert_pipelines.loading.preview import Preview as Preview
from alert_pipelines.loading.preview import preview as preview
from alert_pipelines.loading.sample_week import generate_week as generate_week
from alert_pipelines.loading.sample_week import insert_week as insert_week
