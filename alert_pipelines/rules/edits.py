"""Rules that lost conditions after they were published.

The alert service's API stores the conditions of a rule that is edited through it without those that it does not know.
What is left can be a reckless rule: one for old INFO alerts becomes one for all old alerts. So such a rule decides
nothing until it is published again.
"""

from collections.abc import Mapping
from typing import Any

from alert_pipelines.mongo.client import AlertDatabase
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.model import SERVICE_CONDITIONS, Rule, content_hash, contents_of

VERSIONS = "rule_versions"


@at_the_door
def lost_conditions(db: AlertDatabase, document: Mapping[str, Any], rule: Rule) -> str | None:
    """Why `rule`, as `document` holds it, is not what was published, or None if it lost nothing.

    A rule that was not published, or that a person edited in another way, lost nothing.
    """
    published = document.get("published")
    content = rule.canonical()
    if (
        not isinstance(published, Mapping)
        or published.get("hash") == content_hash(content)
        or _pipeline_conditions(content["conditions"])
    ):
        return None
    names = published.get("conditions")
    given = names if isinstance(names, list) else _as_scanned(db, rule.rule_id, published.get("hash"))
    if given is None:
        lost = "conditions that the alert service does not know may have been removed"
    elif missing := _pipeline_conditions(given):
        lost = f"{', '.join(missing)} {'was' if len(missing) == 1 else 'were'} removed"
    else:
        return None
    return (
        f"was edited after it was published, and {lost}, as the alert service's API does. The rule decides nothing "
        "until its file is published again with --overwrite"
    )


def _pipeline_conditions(names: Any) -> list[str]:
    return sorted(str(name) for name in names if name not in SERVICE_CONDITIONS)


def _as_scanned(db: AlertDatabase, rule_id: str, published: Any) -> Mapping[str, Any] | None:
    """The conditions of the rule that has the hash `published`, if a scan used it: early editions kept no names."""
    for version in db[VERSIONS].find({}, {"text": 1}).sort("_id", -1):
        content = (contents_of(version.get("text")) or {}).get(rule_id)
        if content and content_hash(content) == published:
            conditions: Mapping[str, Any] = content["conditions"]
            return conditions
    return None
