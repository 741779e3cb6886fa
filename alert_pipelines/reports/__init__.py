"""Reports for people: what was done on a day, what rules would have done; their tables, plots, pages and files."""
