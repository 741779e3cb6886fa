"""Checks of the scanner's health and of the rules' indexes, notifications, and `alert-pipelines doctor`."""
