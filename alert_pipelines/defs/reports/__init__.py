"""What people read: today on one page, the rules on one page, and the daily report, a partition a day."""
