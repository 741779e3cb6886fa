"""What people read: today on one page, and the daily report, a partition a day."""
