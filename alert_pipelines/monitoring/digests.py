"""The digest of a day that people are sent: which day is due, and what is kept of one until every receiver has it.

`reports.digest` writes it; `notices` puts it into a receiver's message.
"""

from datetime import date, datetime, timedelta

from pydantic import BaseModel, ConfigDict

# The day's last scan has ended then, and daily_report_schedule has made its page.
_DUE_AFTER_MIDNIGHT = timedelta(minutes=20)


class Digest(BaseModel):
    """What happened on `day`, in UTC: a title, and a text of a few lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date
    title: str
    text: str


def day_due(now: datetime) -> date:
    """The last day of which people should have the digest; `now` is in UTC."""
    return (now - _DUE_AFTER_MIDNIGHT).date() - timedelta(days=1)
