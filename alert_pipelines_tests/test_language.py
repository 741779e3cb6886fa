"""The words of the code, its messages, its docstrings and the docs: those of docs/glossary.md, in plain English."""

import re

import pytest

from alert_pipelines_tests.dagster_processes import CHECKOUT

# What benchmarks write is theirs.
TEXTS = sorted(
    {*(CHECKOUT / "alert_pipelines").rglob("*.py"), *CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md")}
    - {CHECKOUT / "docs" / "performance.md", CHECKOUT / "CHANGELOG.md"}
)
# Each stood in dozens of sentences, and a reader had to translate it.
AVOIDED = {
    "'s matter": "say what the module does",
    "the business of": "say what the module does",
    "mend(s|ed|ing)?": "fix",
    "anew": "again, or re-",
    "of its own": "its own, or separate",
    "(?<!in )so many": "this number of",
    r"(?<!there )(?<!There )(?<!it )is no (?!longer\b|other\b)": "is not a",
    "raced": "conflict",
    "swe(pt|eps?)": "stalled, failed",
    "whole_because": "full_scan_reason",
}


@pytest.mark.parametrize("words", AVOIDED)
def test_messages_docstrings_and_docs_used_words_of_no_glossary(words: str) -> None:
    pattern = re.compile(rf"(?<![\w]){words}" if words[0].isalpha() else words)
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()} ({AVOIDED[words]})"
        for path in TEXTS
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found


def test_the_glossary_has_each_term_once() -> None:
    text = (CHECKOUT / "docs" / "glossary.md").read_text()
    terms = [
        term.lower() for heading in re.findall(r"^\*\*(.+?)\*\*$", text, re.MULTILINE) for term in heading.split(", ")
    ]
    assert len(terms) == len(set(terms)) > 30
