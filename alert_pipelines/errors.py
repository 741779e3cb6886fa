"""The one base class of this project's own errors.

Each error itself is defined beside the code that raises it; this module holds nothing else.
"""


class AlertPipelinesError(Exception):
    """Something the user can act upon: the message says what, where and what to do."""
