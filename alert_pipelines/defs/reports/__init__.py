"""The pages for people: `today`, `rules_overview`, and the daily report with one partition per day."""
