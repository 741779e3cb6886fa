"""Jobs about rules and maintenance windows."""
