"""The alert service's API and ingest, as far as they touch rules: the faults of the published service are kept.

Its models are pydantic's with the defaults of pydantic: an unknown condition is not refused but dropped, and a rule for
a source that its enumeration lacks fails the whole list.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError

from alert_pipelines.mongo import AlertDatabase

OK, CREATED, NOT_FOUND, CONFLICT, SERVER_ERROR = 200, 201, 404, 409, 500


class _Source(StrEnum):
    OVERSPEEDING = "OVERSPEEDING"
    COMPLIANCE = "COMPLIANCE"
    FEEDBACK_NEGATIVE = "FEEDBACK_NEGATIVE"
    FEEDBACK_POSITIVE = "FEEDBACK_POSITIVE"
    DOCUMENT_EXPIRY = "DOCUMENT_EXPIRY"
    SAFETY = "SAFETY"


class _Conditions(BaseModel):
    escalate_if_count: int | None = None
    window_mins: int | None = 60
    auto_close_if: str | None = None
    expire_after_mins: int | None = None


class _Rule(BaseModel):
    rule_id: str
    source_type: _Source
    name: str
    description: str = ""
    conditions: _Conditions
    is_active: bool = True
    priority: int = 0


class ServiceApi:
    """The endpoints of /api/rules, each with its status code, and of /api/alerts."""

    def __init__(self, db: AlertDatabase) -> None:
        self._rules, self._alerts = db["rules"], db["alerts"]

    def list_rules(self) -> tuple[int, list[str]]:
        """GET /api/rules: the ids."""
        try:
            return OK, [_Rule.model_validate(document).rule_id for document in self._rules.find()]
        except ValidationError:
            return SERVER_ERROR, []

    def create_rule(self, **rule: Any) -> int:
        """POST /api/rules."""
        if self._rules.find_one({"rule_id": rule["rule_id"]}):
            return CONFLICT
        self._rules.insert_one({**_Rule(**rule).model_dump(mode="json"), "created_at": datetime.now(UTC)})
        return CREATED

    def update_rule(self, rule_id: str, **changed: Any) -> int:
        """PUT /api/rules/{rule_id}: what a page sends that shows the stored rule and lets a person edit it."""
        stored = self._rules.find_one({"rule_id": rule_id})
        if stored is None:
            return NOT_FOUND
        conditions = _Conditions(**{**stored["conditions"], **changed.pop("conditions", {})})
        fields = {**changed, "conditions": conditions.model_dump(), "updated_at": datetime.now(UTC)}
        self._rules.update_one({"rule_id": rule_id}, {"$set": fields})
        return OK

    def ingest(self, alert: dict[str, Any]) -> None:
        """POST /api/alerts: stored, and escalated by count of its driver alone, whatever else a rule says."""
        self._alerts.insert_one(alert)
        for rule in self._rules.find({"source_type": alert["source_type"], "is_active": True}):
            conditions = rule["conditions"]
            if not (needed := conditions.get("escalate_if_count")):
                continue
            since = alert["timestamp"] - timedelta(minutes=conditions.get("window_mins") or 60)
            same = {"source_type": alert["source_type"], "metadata.driver_id": alert["metadata"]["driver_id"]}
            if self._alerts.count_documents({**same, "timestamp": {"$gte": since}}) >= needed:
                self._alerts.update_one({"_id": alert["_id"]}, {"$set": {"status": "ESCALATED"}})
