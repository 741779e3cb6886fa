"""Incremental planning, behind one object.

`changes` finds what changed since the scan before, `scopes` which keys must be read because of it, `checkpoint` is what
a scan stores for the next, and `overlooked` checks once a day that nothing else was due.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from alert_pipelines.rules.model import RuleSet
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.scanner.changes import Changes, find_changes, next_checkpoint
from alert_pipelines.scanner.checkpoint import Meaning, rules_fingerprint, windows_fingerprint
from alert_pipelines.scanner.context import Claim, PlanContext
from alert_pipelines.scanner.overlooked import Overlooked, find_overlooked
from alert_pipelines.scanner.plan import Plan, make_plan


class Incremental(NamedTuple):
    """What a plan built on, and what the next one may build on.

    `changes` are those since an earlier scan; `checked` is what a full plan found that incremental ones would overlook.
    """

    meaning: Meaning
    changes: Changes
    checked: Overlooked

    @property
    def since(self) -> str | None:
        """The scan that the plan built on; None for a full one."""
        return None if self.changes.full else self.changes.since

    def checkpoint(self, undecided: Sequence[Any]) -> str | None:
        """What the next scan can build on, if this one leaves nothing due undecided but the `_id`s of `undecided`."""
        return next_checkpoint(self.changes, self.meaning, undecided)


def plan_incrementally(
    claim: Claim, rule_set: RuleSet, windows: Sequence[MaintenanceWindow]
) -> tuple[Plan, Incremental]:
    """Plan as `make_plan`, on the newest scan that it can build on.

    If `claim` does not say where the server stood before it, all pending alerts are looked at.
    """
    meaning = Meaning(
        rules=rules_fingerprint(rule_set.active, claim.as_of), windows=windows_fingerprint(windows, claim.as_of)
    )
    with claim.db.client.start_session(causal_consistency=True) as session:
        context = PlanContext(claim.db, claim.job_id, claim.as_of, rule_set.active, windows, session, claim.check)
        changes = find_changes(context, claim.before, meaning) if claim.before else None
        plan = make_plan(
            claim.db,
            rule_set,
            windows,
            claim.as_of,
            rule_ids=claim.request.rule_ids,
            changes=changes,
            session=session,
            check=claim.check,
            log_level=logging.INFO,
        )
        checked = find_overlooked(context, plan, changes) if changes else Overlooked()
    return plan, Incremental(meaning, changes or Changes(), checked)
