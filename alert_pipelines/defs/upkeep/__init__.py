"""Deleting old runs of this code location."""
