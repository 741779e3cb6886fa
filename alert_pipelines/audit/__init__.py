"""What was decided about an alert and why: explain it, list its decisions, undo a job."""
