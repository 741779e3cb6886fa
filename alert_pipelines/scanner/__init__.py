"""The scan: plan on the server, check limits, apply, reconcile, record."""
