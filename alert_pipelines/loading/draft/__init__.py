"""Drafts a mapping for a file, which a person then corrects."""

from alert_pipelines.loading.draft.write import draft_mapping as draft_mapping
