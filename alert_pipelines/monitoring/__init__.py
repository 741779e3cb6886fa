"""How the scanner itself does: its past scans, verdicts on its health, metrics, and messages to people."""
