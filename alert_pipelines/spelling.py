"""What somebody may have meant by a word that is not known here."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` may be a misspelling of, or None."""
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest of `known` as a question, or all of them."""
    names = list(known)
    near = nearest(word, names)
    return f"did you mean {near!r}?" if near else f"known here: {', '.join(names)}"
