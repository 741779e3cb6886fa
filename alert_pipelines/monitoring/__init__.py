"""Monitors the scanner: past scans, health checks, metrics and notifications."""
