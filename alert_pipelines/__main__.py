"""`python -m alert_pipelines` is the command `alert-pipelines`."""

from alert_pipelines.cli import main

main()
