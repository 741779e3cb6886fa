"""Models of the rule language, with errors that say what was expected.

`compiler` defines what a rule means; `store` reads and writes rules.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from alert_pipelines.alerts import PENDING, Severity, Status
from alert_pipelines.rules.others import Other
from alert_pipelines.rules.paths import WRITTEN_FIELDS, FieldPath, MetadataName, one_line
from alert_pipelines.rules.rule_calendars import CALENDAR_FIELDS, HasCalendars
from alert_pipelines.rules.sources import EVERY_SOURCE, SourceType, sources_of
from alert_pipelines.rules.tree import AGING, MAX_VALUES, WHOLE, CheckedTree, Minutes, Scalar, Tree, leaves

EXPIRES_AT = "expires_at"
RESERVED_IDS = {EXPIRES_AT: "the alert's own expiry", "scan": "the scan's own limit"}
"""Names that no rule may have, since commands and configs use them where a rule could be named."""
DEFAULT_KEY = "metadata.driver_id"
DEFAULT_WINDOW_MINS = 60
CLOSE_CONDITIONS = (
    "auto_close_if",
    "close_if",
    "expire_after_mins",
    "close_if_no_repeat_mins",
    "keep_latest",
    "keep_first",
    "close_if_other",
)
TREE_CONDITIONS = ("only_if", "close_if", "escalate_if", "count_if")
OTHER_CONDITIONS = ("close_if_other", "suppress_if_other")
COUNT_CONDITIONS = ("count_if", "count_statuses", "count_distinct")
ESCALATE_CONDITIONS = ("escalate_if", "escalate_after_mins", "escalate_if_count")
# Conditions that a calendar applies to: their minutes are counted back from as_of.
_COUNT_MINUTES = ("expire_after_mins", "close_if_no_repeat_mins", "hold_mins", "escalate_after_mins")
SERVICE_CONDITIONS = ("escalate_if_count", "window_mins", "auto_close_if", "expire_after_mins")


class Mode(StrEnum):
    """Whether a rule writes (active), is only planned and counted (shadow), or is not used (off)."""

    ACTIVE = "active"
    SHADOW = "shadow"
    OFF = "off"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _is_empty(value: Any) -> bool:
    return value == "" or (isinstance(value, int | float) and not isinstance(value, bool) and value == 0)


def _checked_id(rule_id: str) -> str:
    one_line(rule_id)
    if rule_id in RESERVED_IDS:
        raise ValueError(f"{rule_id!r} is reserved for {RESERVED_IDS[rule_id]}; choose another")
    return rule_id


_Paths = Annotated[list[FieldPath], Field(min_length=1, max_length=5)]


class Conditions(BaseModel):
    """The conditions of one rule. Null counts as absent, since the service stores absent conditions as null.

    In the service's four conditions, 0 and an empty text are absent, too, since its engine only tests for a value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    only_if: CheckedTree | None = Field(
        None, description="the rule decides only alerts for which this condition tree holds"
    )
    auto_close_if: MetadataName | None = Field(None, description="close when this field of metadata is true")
    close_if: CheckedTree | None = Field(None, description="close when this condition tree holds")
    expire_after_mins: Minutes | None = Field(
        None, description="close when timestamp is at least this many minutes before as_of"
    )
    close_if_no_repeat_mins: Minutes | None = Field(
        None,
        description="close when the newest alert of the same source and key is at least this many minutes old",
    )
    keep_latest: StrictBool | None = Field(
        None, description="close a pending alert when a newer one of the same source and key exists"
    )
    keep_first: StrictBool | None = Field(
        None, description="close a pending alert when an older pending one of the same source and key exists"
    )
    close_if_other: Other | None = Field(
        None, description="close when another alert matches this condition, such as an OK event"
    )
    escalate_if: CheckedTree | None = Field(None, description="escalate an OPEN alert when this condition tree holds")
    escalate_after_mins: Minutes | None = Field(
        None,
        description="escalate an OPEN alert that nobody attended to: the latest of timestamp, created_at and "
        "updated_at is this many or more minutes before as_of",
    )
    escalate_if_count: Annotated[StrictInt, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        None,
        description="escalate an OPEN alert when its key has this many pending alerts in the window before it",
    )
    window_mins: Minutes | None = Field(
        None, description=f"the window of escalate_if_count in minutes, default {DEFAULT_WINDOW_MINS}"
    )
    count_if: CheckedTree | None = Field(
        None, description="escalate_if_count counts only alerts for which this condition tree holds"
    )
    count_statuses: Annotated[list[Status], Field(min_length=1)] | None = Field(
        None, description="the statuses of the alerts that escalate_if_count counts, default the pending ones"
    )
    count_distinct: FieldPath | None = Field(
        None, description="escalate_if_count counts the different values of this field instead of alerts"
    )
    group_by: Annotated[_Paths, BeforeValidator(_as_list, json_schema_input_type=FieldPath | _Paths)] | None = Field(
        None, description=f"the key: a field path or a list of them, default {DEFAULT_KEY}"
    )
    ignore_keys: Annotated[list[Scalar], Field(min_length=1, max_length=MAX_VALUES)] | None = Field(
        None, description="values of a path of the key that count as missing, so that their alerts are not grouped"
    )
    hold_mins: Minutes | None = Field(
        None, description="close only alerts that were not updated in the last this many minutes"
    )
    suppress_if_other: Other | None = Field(
        None,
        description="neither close nor escalate while another alert matches this condition, such as a device offline",
    )
    severities: Annotated[list[Severity], Field(min_length=1)] | None = Field(
        None, description="decide only alerts of these severities"
    )
    statuses: Annotated[list[Status], Field(min_length=1)] | None = Field(
        None, description="decide only alerts of these pending statuses"
    )
    notify: StrictBool | None = Field(
        None, description="send the decisions of this rule to the receivers of notifications, one message per scan"
    )
    max_close: Annotated[StrictInt, Field(ge=0, lt=2**31), WHOLE] | None = Field(
        None, description="if a scan would close more alerts than this by the rule, it closes none by it"
    )
    max_close_fraction: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="max_close as a fraction of the pending alerts of the rule's source"
    )
    max_escalate: Annotated[StrictInt, Field(ge=0, lt=2**31), WHOLE] | None = Field(
        None, description="if a scan would escalate more alerts than this by the rule, it escalates none by it"
    )
    max_escalate_fraction: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="max_escalate as a fraction of the OPEN alerts of the rule's source"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_what_the_service_reads_as_absent(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {
            name: None if name in SERVICE_CONDITIONS and _is_empty(value) else value for name, value in given.items()
        }

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.statuses and not set(self.statuses) <= set(PENDING):
            raise ValueError("statuses: a scan decides pending alerts only: OPEN, ESCALATED")
        if self.escalations and self.statuses and Status.OPEN not in self.statuses:
            raise ValueError(f"statuses: {self.escalations[0]} decides OPEN alerts: add OPEN")
        if self.group_by and len(set(self.group_by)) < len(self.group_by):
            raise ValueError("group_by: names a path twice")
        for path in self.key:
            if path.partition(".")[0] in WRITTEN_FIELDS:
                raise ValueError(f"group_by: a scan writes {path}, so decisions would change their own evidence")
        if not self.closes and not self.escalations:
            deciding = ", ".join((*CLOSE_CONDITIONS, *ESCALATE_CONDITIONS))
            raise ValueError(f"decides nothing: give at least one of {deciding}")
        if self.hold_mins and not self.closes:
            raise ValueError("hold_mins: holds back close conditions, and the rule has none")
        if not self.escalations and (self.max_escalate, self.max_escalate_fraction) != (None, None):
            raise ValueError(
                "max_escalate, max_escalate_fraction: limit escalations, and the rule has no condition that escalates"
            )
        return self

    @model_validator(mode="after")
    def _counts_something(self) -> Self:
        if not self.escalate_if_count and (given := [name for name in COUNT_CONDITIONS if getattr(self, name)]):
            raise ValueError(f"{given[0]}: defines what escalate_if_count counts, and the rule has none")
        if self.count_statuses and Status.OPEN not in self.count_statuses:
            raise ValueError("count_statuses: the alert that is escalated is OPEN and counts, too: add OPEN")
        return self

    @property
    def counts_minutes(self) -> bool:
        """Whether a calendar changes what the conditions mean."""
        trees = (*self.trees.values(), *(other.if_ for other in self.others))
        return any(getattr(self, name) for name in _COUNT_MINUTES) or any(
            leaf.op in AGING for tree in trees if tree for leaf in leaves(tree)
        )

    @property
    def closes(self) -> tuple[str, ...]:
        """The names of the close conditions of the rule."""
        return tuple(name for name in CLOSE_CONDITIONS if getattr(self, name))

    @property
    def escalations(self) -> tuple[str, ...]:
        """The names of the escalate conditions of the rule."""
        return tuple(name for name in ESCALATE_CONDITIONS if getattr(self, name))

    @property
    def counts_settled(self) -> bool:
        """Whether settled alerts count."""
        return not set(self.count_statuses or ()) <= set(PENDING)

    @property
    def trees(self) -> dict[str, Tree]:
        """The condition trees of the rule, by the names of their conditions."""
        return {name: tree for name in TREE_CONDITIONS if (tree := getattr(self, name))}

    @property
    def others_by_condition(self) -> dict[str, Other]:
        """The conditions on other alerts, by name."""
        return {name: other for name in OTHER_CONDITIONS if (other := getattr(self, name))}

    @property
    def others(self) -> tuple[Other, ...]:
        """The conditions on other alerts."""
        return tuple(self.others_by_condition.values())

    @property
    def key_paths(self) -> frozenset[str]:
        """All paths that group alerts: those of the key and those of conditions on other alerts."""
        return frozenset(
            {*self.key, *(path for other in self.others for pair in (other.match or {}).items() for path in pair)}
        )

    @property
    def key(self) -> tuple[str, ...]:
        """The paths of the key."""
        return tuple(self.group_by or (DEFAULT_KEY,))


class Rule(HasCalendars):
    """A set of conditions for one source, several or all.

    Unknown fields are ignored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    rule_id: Annotated[StrictStr, AfterValidator(_checked_id)] = Field(
        min_length=1, max_length=100, description="the unique id of the rule, in histories, records and limits"
    )
    source_type: SourceType = Field(
        description="the source whose alerts it decides, a list of them, or '*' for every source; a misspelt one "
        "matches nothing"
    )
    name: StrictStr | None = Field(None, description="a name for people")
    description: StrictStr | None = Field(None, description="the purpose of the rule")
    conditions: Conditions = Field(description="when to close, escalate or hold")
    is_active: StrictBool = Field(True, description="read by the older service; in a file, use `mode` instead")
    priority: Annotated[StrictInt, Field(ge=-(2**31), lt=2**31), WHOLE] = Field(0, description="higher goes first")
    mode: Mode | None = Field(None, description="active (writes; the default), shadow (is only counted) or off")

    @model_validator(mode="after")
    def _counts_minutes(self) -> Self:
        if self.calendar and not self.conditions.counts_minutes:
            raise ValueError("calendar: no condition of the rule counts minutes in its open hours")
        return self

    @property
    def sources(self) -> tuple[str, ...] | None:
        """The sources whose alerts it decides; None for every source."""
        return sources_of(self.source_type)

    @property
    def source_names(self) -> str:
        """The sources as text."""
        return ", ".join(self.sources or (EVERY_SOURCE,))

    def concerns(self, source: object) -> bool:
        """Return whether the rule decides alerts with this `source_type`."""
        return type(source) is str and (self.sources is None or source in self.sources)

    def shares_source(self, other: "Rule") -> bool:
        """Return whether both rules may decide the same alert."""
        return self.sources is None or other.sources is None or not set(self.sources).isdisjoint(other.sources)

    @property
    def effective_mode(self) -> Mode:
        """The mode that applies: a rule writes only if `mode` is active and `is_active` is true."""
        if self.mode is None:
            return Mode.ACTIVE if self.is_active else Mode.OFF
        return Mode.OFF if self.mode is Mode.ACTIVE and not self.is_active else self.mode

    def canonical(self) -> dict[str, Any]:
        """Return what the rule means, as plain JSON values.

        Absent conditions are left out, and so is a window that no condition uses: the service stores its default.
        """
        conditions = self.conditions.model_dump(mode="json", by_alias=True, exclude_none=True)
        conditions.pop("window_mins", None)
        if self.conditions.escalate_if_count:
            conditions["window_mins"] = self.conditions.window_mins or DEFAULT_WINDOW_MINS
        return {
            "rule_id": self.rule_id,
            "source_type": self.source_type,
            "name": self.name or self.rule_id,
            "description": self.description or "",
            "conditions": conditions,
            "is_active": self.effective_mode is Mode.ACTIVE,
            "priority": self.priority,
            "mode": self.effective_mode.value,
            **self.model_dump(mode="json", include=set(CALENDAR_FIELDS), exclude_none=True),
        }


class StrictRule(Rule):
    """A rule of a file: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleSet(NamedTuple):
    """The rules of one scan: active rules in order of precedence, and shadow rules, which are only counted."""

    active: tuple[Rule, ...]
    shadow: tuple[Rule, ...]
    text: str
    version: str

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules."""
        return (*self.active, *self.shadow)

    @classmethod
    def of(cls, rules: list[Rule]) -> Self:
        """Sort `rules` by precedence; the version is the SHA-256 of the canonical JSON of the active ones."""
        ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.rule_id))
        active = tuple(rule for rule in ordered if rule.effective_mode is Mode.ACTIVE)
        shadow = tuple(rule for rule in ordered if rule.effective_mode is Mode.SHADOW)
        text = canonical_json([rule.canonical() for rule in sorted(active, key=lambda rule: rule.rule_id)])
        return cls(active, shadow, text, hashlib.sha256(text.encode()).hexdigest())


def contents_of(text: Any) -> dict[str, dict[str, Any]] | None:
    """Return the rules of a stored `RuleSet.text` by rule id; None for what is not one, since anybody may edit it."""
    try:
        return {one["rule_id"]: {**one, "conditions": dict(one["conditions"])} for one in json.loads(text)}
    except (ValueError, TypeError, KeyError):
        return None


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no white space, no unnecessary escapes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a rule's canonical content, which is stored with a published rule."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
