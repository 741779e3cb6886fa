"""Drafting a mapping: what a file seems to hold, written as a mapping that a person corrects."""

from alert_pipelines.loading.draft.write import draft_mapping as draft_mapping
