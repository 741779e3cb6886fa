"""Ticks of the notification sensor, one after the other, as the daemon makes them."""

import json
from datetime import date, datetime, timedelta
from typing import Any

from dagster import SensorEvaluationContext, SensorResult

from alert_pipelines.defs.monitoring.notification_sensor import notification_sensor


class Ticks:
    """Ticks of the sensor, each with the cursor of the one before; a call answers what the UI shows."""

    def __init__(self, context: SensorEvaluationContext) -> None:
        self._context = context
        self.cursor = ""

    def __call__(self) -> str:
        self._context.update_cursor(self.cursor)
        answer = notification_sensor(self._context)
        assert isinstance(answer, SensorResult)
        assert answer.cursor is not None
        assert answer.skip_reason is not None
        self.cursor = answer.cursor
        return str(answer.skip_reason.skip_message)

    def let_pass(self, **time: float) -> None:
        """Let so much time have passed since all that the sensor remembers."""

        def shifted(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: shifted(part) for name, part in value.items()}
            if isinstance(value, list):
                return [shifted(part) for part in value]
            # A day stands: no midnight passes.
            if isinstance(value, str) and "T" not in value:
                return value
            try:
                return (datetime.fromisoformat(value) - timedelta(**time)).isoformat()
            except (TypeError, ValueError):
                return value

        if self.cursor:
            self.cursor = json.dumps(shifted(json.loads(self.cursor)))

    def let_a_day_pass(self, days: int = 1) -> None:
        """Let the last digest be that of a day before the one that is due."""
        remembered = json.loads(self.cursor)
        for told in remembered["receivers"]:
            told["digest_of"] = (date.fromisoformat(told["digest_of"]) - timedelta(days=days)).isoformat()
        self.cursor = json.dumps(remembered)
