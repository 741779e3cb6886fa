"""The condition tree of `close_if`: `all`, `any`, `not` and leaves `{field, op, value}`."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from alert_pipelines.rules.paths import FieldPath

MAX_DEPTH = 10
MAX_VALUES = 1000
MAX_TEXT = 1000
# Minutes beyond a century leave the range of dates.
MAX_MINUTES = 100 * 366 * 24 * 60

Scalar = StrictBool | Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)] | FiniteFloat | StrictStr
Number = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)] | Annotated[FiniteFloat, Field(strict=True)]


def _as_whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Some shells and drivers store every number as a double.
WHOLE = BeforeValidator(_as_whole)
"""Has a whole number be one also where it is stored as a double: 60.0 is 60."""
Minutes = Annotated[StrictInt, Field(ge=1, le=MAX_MINUTES), WHOLE]


class Op(StrEnum):
    """The tests of a leaf."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    IN = "in"
    NOT_IN = "not_in"
    EXISTS = "exists"
    MISSING = "missing"
    OLDER_THAN_MINS = "older_than_mins"
    NEWER_THAN_MINS = "newer_than_mins"
    WITHIN_MINS = "within_mins"
    BEYOND_MINS = "beyond_mins"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"


ORDERED = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})
LISTED = frozenset({Op.IN, Op.NOT_IN})
BARE = frozenset({Op.EXISTS, Op.MISSING})
TIMED = frozenset({Op.OLDER_THAN_MINS, Op.NEWER_THAN_MINS, Op.WITHIN_MINS, Op.BEYOND_MINS})
AGING = frozenset({Op.OLDER_THAN_MINS, Op.NEWER_THAN_MINS})
TEXTUAL = frozenset({Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH})
COMPARING = ORDERED | {Op.EQ, Op.NE}


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Leaf(_Node):
    """One test of one field."""

    field: FieldPath = Field(description="a dotted path, such as metadata.feedback_rating")
    op: Op
    value: Scalar | list[Scalar] | None = Field(
        None,
        description="one value; a list for in and not_in; minutes for the four ops in _mins; none for exists, missing",
    )
    value_of: FieldPath | None = Field(
        None, description="in place of value, for eq, ne, lt, lte, gt, gte: another field of the same alert"
    )
    times: Number | None = Field(None, description="multiplies the number at value_of, before plus is added")
    plus: Number | None = Field(None, description="is added to the number at value_of")
    ignore_case: StrictBool | None = Field(
        None, description="for contains, starts_with, ends_with: upper and lower case count as equal"
    )

    @field_validator("value", mode="after")
    @classmethod
    def _minutes_are_whole(cls, value: Any, info: ValidationInfo) -> Any:
        return _as_whole(value) if info.data.get("op") in TIMED else value

    @model_validator(mode="after")
    def _value_fits_op(self) -> Self:
        problem = _misplaced(self) or (None if self.value_of else _misfit(self.op, self.value))
        if problem:
            raise ValueError(f"op {self.op.value!r} {problem}")
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """The paths that the test looks at."""
        return (self.field, self.value_of) if self.value_of else (self.field,)


def _misplaced(leaf: Leaf) -> str | None:
    """Which part of `leaf` does not go with its op, or None."""
    if leaf.ignore_case is not None and leaf.op not in TEXTUAL:
        return f"does not take ignore_case: only {_named(TEXTUAL)} do"
    if leaf.value_of is None:
        return None if (leaf.plus, leaf.times) == (None, None) else "takes plus and times only with value_of"
    if leaf.op not in COMPARING:
        return f"does not take value_of: only {_named(COMPARING)} do"
    return None if leaf.value is None else "takes value or value_of, and both are given"


def _named(ops: frozenset[Op]) -> str:
    return ", ".join(op.value for op in Op if op in ops)


def _misfit(op: Op, value: Any) -> str | None:
    """What is wrong with `value` for `op`, or None."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if op in BARE:
        fits, wanted = value is None, "takes no value"
    elif op in LISTED:
        fits = isinstance(value, list) and 1 <= len(value) <= MAX_VALUES
        wanted = f"needs a list of 1 to {MAX_VALUES} texts, numbers or booleans"
    elif op in TIMED:
        fits = number and 1 <= value <= MAX_MINUTES
        wanted = f"needs a whole number of minutes from 1 to {MAX_MINUTES}"
    elif op in TEXTUAL:
        fits = isinstance(value, str) and 1 <= len(value) <= MAX_TEXT
        wanted = f"needs a text of 1 to {MAX_TEXT} characters"
    elif op in ORDERED:
        fits, wanted = number or isinstance(value, float | str), "needs a number or a text to order by"
    else:
        fits = value is not None and not isinstance(value, list)
        wanted = "needs one text, number or boolean (several: 'in', 'not_in'; null or missing: 'missing', 'exists')"
    return None if fits else f"{wanted}; got {value!r:.100}"


class All(_Node):
    """Holds when every part holds."""

    all: Annotated[list["Tree"], Field(min_length=1, max_length=MAX_VALUES)]


class Any_(_Node):  # noqa: N801 - `Any` is typing's
    """Holds when at least one part holds."""

    any: Annotated[list["Tree"], Field(min_length=1, max_length=MAX_VALUES)]


class Not(_Node):
    """Holds when its part does not."""

    not_: Annotated["Tree", Field(alias="not")]


def _kind(node: Any) -> str:
    for kind, model in (("all", All), ("any", Any_), ("not", Not)):
        if isinstance(node, model) or (isinstance(node, dict) and kind in node):
            return kind
    return "leaf"


Tree = Annotated[
    Annotated[All, Tag("all")]
    | Annotated[Any_, Tag("any")]
    | Annotated[Not, Tag("not")]
    | Annotated[Leaf, Tag("leaf")],
    Discriminator(_kind),
]

for _model in (All, Any_, Not):
    _model.model_rebuild()


def _checked_depth(tree: Any, info: ValidationInfo) -> Any:
    if depth(tree) > MAX_DEPTH:
        name = (info.field_name or "").rstrip("_")
        raise ValueError(f"{name} is nested more than {MAX_DEPTH} deep: split it into several rules")
    return tree


CheckedTree = Annotated[Tree, BeforeValidator(_checked_depth)]


def leaves(tree: "Tree") -> Iterator[Leaf]:
    """Every leaf of `tree`, in the order written."""
    if isinstance(tree, Leaf):
        yield tree
    else:
        for part in parts(tree):
            yield from leaves(part)


def parts(tree: "All | Any_ | Not") -> list["Tree"]:
    """The direct parts of an inner node."""
    if isinstance(tree, All):
        return tree.all
    if isinstance(tree, Any_):
        return tree.any
    return [tree.not_]


def depth(node: Any) -> int:
    """How deeply a raw tree is nested; a leaf is 1. Stops counting one past MAX_DEPTH."""
    level, nodes = 0, [node]
    while nodes and level <= MAX_DEPTH:
        level += 1
        nodes = [
            part
            for node in nodes
            if isinstance(node, dict)
            for key in ("all", "any", "not")
            if key in node
            for part in (node[key] if isinstance(node[key], list) else [node[key]])
        ]
    return level
