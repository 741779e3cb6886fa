"""The signature of a person: who undid, published, lifted a limit or added a window, and why."""

from typing import NamedTuple

from alert_pipelines.errors import InvalidSignatureError

MAX_CHARS = 500


class Signature(NamedTuple):
    """Who asked, and why; None where nobody said so."""

    by: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, by: str | None, reason: str | None) -> "Signature":
        """The signature of what a person typed: a blank is nothing. Raises InvalidSignatureError."""
        for name, text in (("by", by), ("reason", reason)):
            if text and len(text) > MAX_CHARS:
                raise InvalidSignatureError(
                    f"{name} is too long: expected up to {MAX_CHARS} characters; got {len(text):,}. Shorten it"
                )
        return cls((by or "").strip() or None, (reason or "").strip() or None)

    @property
    def fields(self) -> dict[str, str]:
        """What was said, as fields of a record."""
        return {name: text for name, text in self._asdict().items() if text}

    @property
    def in_words(self) -> str:
        """` by NAME: REASON`, as the end of a sentence; empty if nothing was said."""
        by = f" by {self.by}" if self.by else ""
        return f"{by}: {self.reason}" if self.reason else by


UNSIGNED = Signature()
