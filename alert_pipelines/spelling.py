"""Suggests the nearest known word for an unknown one."""

import difflib
from collections.abc import Iterable


def close_matches(word: str, known: Iterable[str], *, n: int = 1, cutoff: float) -> list[str]:
    """Up to `n` of `known` whose likeness to `word` is at least `cutoff`, from 0 to 1, the most alike first."""
    names = list(known)
    # No likeness to a far longer word reaches the cutoff, and difflib takes a second to find that out of a megabyte.
    if len(word) * cutoff > max(map(len, names), default=0) * (2 - cutoff):
        return []
    return difflib.get_close_matches(word, names, n=n, cutoff=cutoff)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` may be a misspelling of, or None."""
    lower = {name.lower(): name for name in known}
    found = close_matches(word.lower(), lower, cutoff=0.5)
    return lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest of `known` as a question, or all of them."""
    names = list(known)
    near = nearest(word, names)
    return f"did you mean {near!r}?" if near else f"known here: {', '.join(names)}"
