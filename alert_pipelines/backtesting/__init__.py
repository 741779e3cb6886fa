"""Back-tests: the alerts as they were on past days, what rules would have decided, and what really happened."""
