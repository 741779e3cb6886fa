"""Shadow rules take turns: a scan gives them a limited time, and the next scan starts with the others.

What they would do stays undone, so each look is at all pending alerts: of many rules and alerts that takes longer than
anything else a scan does, and the closes of the active rules must not wait so long.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pymongo.client_session import ClientSession

from alert_pipelines.job_records import COLLECTION, SCANNER
from alert_pipelines.mongo.client import AlertDatabase, server_now
from alert_pipelines.rules.model import Rule

SECONDS_A_SCAN = 10
"""After this time no other shadow rule is begun; one is evaluated in any case."""
REMEMBERED_FOR = timedelta(days=1)


def by_turn(db: AlertDatabase, rules: Sequence[Rule], session: ClientSession | None = None) -> list[Rule]:
    """`rules` as the next scan is to evaluate them: new ones, then those that the last one did not come to.

    Raises PyMongoError.
    """
    if len(rules) <= 1:
        return list(rules)
    since = {"$gt": server_now(db) - REMEMBERED_FOR}
    took_turns = {"job_type": SCANNER, "started_at": since, "stats.shadow_left": {"$type": "array"}}
    fields = {"stats.shadow_left": 1, "stats.shadow_rules": 1}
    newest = [("started_at", -1)]
    record = db[COLLECTION].find_one(took_turns, fields, sort=newest, session=session) or {}
    queue = _queue(record.get("stats"))
    return sorted(rules, key=lambda rule: queue.index(rule.rule_id) if rule.rule_id in queue else -1)


def in_time(rules: Sequence[Rule]) -> Iterator[Rule]:
    """The first of `rules`, at least one, as long as there is time for another."""
    until = time.monotonic() + SECONDS_A_SCAN
    for number, rule in enumerate(rules):
        if number and time.monotonic() >= until:
            return
        yield rule


def waiting(left: Sequence[str]) -> str:
    """The sentence for people about the rules that a scan did not come to."""
    return (
        f"not evaluated by this scan: {', '.join(left)}. A scan begins no other shadow rule after {SECONDS_A_SCAN} s; "
        "the next scan begins with these"
    )


def _queue(stats: Any) -> list[str]:
    """The rules that a scan left, then those it evaluated; anybody may have edited its job record."""
    lists = (stats.get("shadow_left"), stats.get("shadow_rules")) if isinstance(stats, Mapping) else ()
    return [name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)]
