"""The two collections of rules: which rule belongs in which, and a snapshot of both.

`rules` is the alert service's as well. Its API removes every condition that it does not know, its rule list fails at a
source that it does not know, and its ingest ignores modifiers. So a rule that says more than the service can is kept
in `pipeline_rules`, which the service never reads.
"""

from typing import Any, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from alert_pipelines.alerts import SourceType
from alert_pipelines.errors import UnusableDatabaseError
from alert_pipelines.mongo.client import AlertDatabase, is_standalone
from alert_pipelines.mongo.door import at_the_door
from alert_pipelines.rules.model import SERVICE_CONDITIONS, Mode, Rule
from alert_pipelines.rules.rule_calendars import CALENDAR_FIELDS

SERVICE_RULES = "rules"
PIPELINE_RULES = "pipeline_rules"
COLLECTIONS = (SERVICE_RULES, PIPELINE_RULES)

_SNAPSHOT_UNAVAILABLE = 246


class StoredRule(NamedTuple):
    """A document of one of the two collections, whatever it holds."""

    collection: str
    document: dict[str, Any]


def home_of(rule: Rule) -> str:
    """The collection that `rule` belongs in: `rules` only if the alert service can say all that it says."""
    content = rule.canonical()
    is_the_services = (
        content["source_type"] in list(SourceType)
        and set(content["conditions"]) <= set(SERVICE_CONDITIONS)
        and content["mode"] != Mode.SHADOW
        and not set(content) & set(CALENDAR_FIELDS)
    )
    return SERVICE_RULES if is_the_services else PIPELINE_RULES


@at_the_door
def stored_rules(db: AlertDatabase, session: ClientSession | None = None) -> list[StoredRule]:
    """Every document of both collections as of one moment, by rule id; with `session`, as its transaction sees them.

    A standalone server has no snapshots: there a rule set that is published meanwhile can be seen in part.
    """
    if session is not None or is_standalone(db):
        return _read(db, session)
    with db.client.start_session(snapshot=True) as snapshot:
        return _read(db, snapshot)


def _read(db: AlertDatabase, session: ClientSession | None) -> list[StoredRule]:
    found: list[StoredRule] = []
    for collection in COLLECTIONS:
        try:
            documents = list(db[collection].find(session=session).sort("rule_id", 1))
        except OperationFailure as error:
            # In a transaction the driver takes it for transient, and would try it again for two minutes.
            if error.code == _SNAPSHOT_UNAVAILABLE and "capped" in str(error):
                raise UnusableDatabaseError(
                    f"{db.name}.{collection} is a capped collection, in which rules cannot be published together: "
                    "expected an ordinary collection. Rename it, and copy its documents into a collection named "
                    f"{collection!r}."
                ) from None
            raise
        found += [StoredRule(collection, document) for document in documents]
    return found
