"""Jobs that explain an alert, list what a job decided, and undo it."""
