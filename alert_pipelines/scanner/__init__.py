"""The scan: plan on the server, guard, apply, reconcile, record; and what explains or takes back its decisions."""
