"""Drafting a mapping: what a file seems to hold, written as a mapping that a person corrects."""

from alert_pipelines.loading.draft.write import draft_mapping

__all__ = ["draft_mapping"]
