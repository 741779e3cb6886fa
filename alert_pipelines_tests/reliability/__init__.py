"""Attempts to break the scan on real servers; each short in CI, and long behind the marker `long`."""
