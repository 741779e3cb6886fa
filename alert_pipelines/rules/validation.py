"""Parses and validates rules; errors say what was expected."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from bson import Code
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from alert_pipelines.errors import MAX_PROBLEMS, AlertPipelinesError, RuleError, limit_problems
from alert_pipelines.rules.calendars import Calendar
from alert_pipelines.rules.hints import is_negated, meant
from alert_pipelines.rules.model import OTHER_CONDITIONS, TREE_CONDITIONS, Conditions, Rule, StrictRule
from alert_pipelines.rules.others import Other
from alert_pipelines.rules.rule_calendars import CALENDAR_FIELDS
from alert_pipelines.rules.tree import Leaf
from alert_pipelines.rules.windows import MaintenanceWindow
from alert_pipelines.spelling import close_matches

MAX_CHARS = 100_000
_NODE_KEYS = ("all", "any", "not", *Leaf.model_fields)
_TREES, _OTHERS = frozenset(TREE_CONDITIONS), frozenset(OTHER_CONDITIONS)
_VALUE_KINDS = "expected a text, a number, a boolean, or for 'in' and 'not_in' a list of them"


def parse_rule(document: Any, *, strict: bool = False) -> Rule:
    """Validate a rule; `strict` refuses unknown fields. Raises RuleError."""
    if not isinstance(document, Mapping):
        raise RuleError(None, [f"expected a rule with rule_id, source_type and conditions; got {document!r:.100}"])
    if _is_too_large(Rule, document):
        raise RuleError(document.get("rule_id"), [f"has more than {MAX_CHARS} characters: split it into several"])
    if problems := [*_unstorable(Rule, document), *_misspelt_limits(document)]:
        raise RuleError(document.get("rule_id"), problems)
    try:
        return (StrictRule if strict else Rule).model_validate(document)
    except ValidationError as error:
        raise RuleError(document.get("rule_id"), _problems(error, document)) from error


def _misspelt_limits(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield unknown fields that look like a limit on when the rule decides: without it, the rule would decide more."""
    for name in document:
        if name not in Rule.model_fields and (near := close_matches(str(name), CALENDAR_FIELDS, cutoff=0.8)):
            yield f"{_printable(str(name)):.100}: unknown; did you mean {near[0]!r}?"


def parse_window(document: Mapping[str, Any]) -> MaintenanceWindow:
    """Validate a stored maintenance window, or one of a file. Raises AlertPipelinesError."""
    which = f"maintenance window {_printable(str(document.get('window_id') or document.get('_id')))[:200]}"
    return _parsed(MaintenanceWindow, document, which, "is not valid and suppresses nothing")


def parse_calendar(document: Any) -> Calendar:
    """Validate a stored calendar, or one of a file. Raises AlertPipelinesError."""
    if not isinstance(document, Mapping):
        raise AlertPipelinesError(f"expected a calendar with name, zone and open; got {document!r:.100}")
    which = f"calendar {_printable(repr(document.get('name')))[:200]}"
    return _parsed(Calendar, document, which, "is not valid")


Given = TypeVar("Given")
Parsed = TypeVar("Parsed", bound=BaseModel)


def parse_all(
    documents: Iterable[Given], parse: Callable[[Given], Parsed], name: Callable[[Parsed], str]
) -> tuple[list[Parsed], list[str]]:
    """What `parse` makes of the documents of a file; and what is wrong with the others, also a `name` given twice."""
    found: list[Parsed] = []
    problems: list[str] = []
    for document in documents:
        try:
            found.append(parse(document))
        except AlertPipelinesError as error:
            problems.append(str(error))
    return found, [*problems, *_given_twice(map(name, found))]


def each_once(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that a caller gives, as a list. Raises AlertPipelinesError where two have one rule_id."""
    given = list(rules)
    if problems := _given_twice(f"rule {rule.rule_id!r}" for rule in given):
        raise AlertPipelinesError("\n  ".join(["the rules cannot be used:", *problems]))
    return given


def _given_twice(names: Iterable[str]) -> list[str]:
    return [f"{name}: given twice" for name, times in sorted(Counter(names).items()) if times > 1]


def _parsed(model: type[Parsed], document: Mapping[str, Any], which: str, bad: str) -> Parsed:
    if _is_too_large(model, document):
        raise AlertPipelinesError(f"{which}: has more than {MAX_CHARS} characters: split it into several")
    if problems := _unstorable(model, document):
        raise AlertPipelinesError(f"{which} {bad}: {limit_problems(problems)}")
    try:
        return model.model_validate({key: value for key, value in document.items() if key != "_id"})
    except ValidationError as error:
        raise AlertPipelinesError(f"{which} {bad}: {limit_problems(_problems(error, document, model))}") from error


def _is_too_large(model: type[BaseModel], document: Mapping[str, Any]) -> bool:
    """Return whether the fields of `model` have more than MAX_CHARS in `document`, at any depth."""
    size = 0
    for _, value in _texts_and_values(model, document):
        size += len(str(value))
        if size > MAX_CHARS:
            return True
    return False


def _unstorable(model: type[BaseModel], document: Mapping[str, Any]) -> list[str]:
    """Return the values that MongoDB cannot store, or would store differently."""
    names = [("", name) for name in document]
    faults = ((path, _storage_fault(value)) for path, value in (*names, *_texts_and_values(model, document)))
    return [f"{_printable(path)}: {fault}" if path else fault for path, fault in faults if fault]


def _storage_fault(value: Any) -> str:
    # JavaScript code is a str to Python.
    if isinstance(value, Code):
        return f"expected text; got {value!r:.100}"
    if isinstance(value, str) and _printable(value) != value:
        return f"expected text that UTF-8 can hold; got {value!r:.100}, which has half of a surrogate pair"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"expected a whole number that 64 bits can hold; got {value!r:.100}"
    return ""


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _texts_and_values(model: type[BaseModel], document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every key and value below the fields of `model`, with its path, in the order written."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    open_levels: list[Iterator[tuple[str, Any]]] = [
        iter([(name, document[name]) for name in names if name in document])
    ]
    while open_levels:
        path, value = next(open_levels[-1], (None, None))
        if path is None:
            open_levels.pop()
        elif isinstance(value, Mapping):
            yield from ((path, key) for key in value)
            open_levels.append(_inside(path, value.items(), "{}.{}"))
        elif isinstance(value, list):
            open_levels.append(_inside(path, enumerate(value), "{}[{}]"))
        else:
            yield path, value


def _inside(path: str, parts: Iterable[tuple[Any, Any]], form: str) -> Iterator[tuple[str, Any]]:
    return ((form.format(path, name), part) for name, part in parts)


def _problems(error: ValidationError, document: Any, model: type[BaseModel] = Rule) -> list[str]:
    # A union reports each of its members, so each place is named once.
    by_path: dict[str, str] = {}
    for fault in error.errors():
        path, parents = _place(fault["loc"], document)
        if path not in by_path:
            # Problems that are not shown are only counted: finding suggestions for thousands of fields takes long.
            by_path[path] = _say(fault, parents, model) if len(by_path) < MAX_PROBLEMS else fault["msg"]
    return [f"{path}: {problem}" if path else problem for path, problem in by_path.items()]


def _place(location: Iterable[int | str], document: Any) -> tuple[str, list[str]]:
    """Return the path as written, and its parts. Pydantic's location also has the names of union members."""
    path, here = "", document
    parts: list[str] = []
    steps = list(location)
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        no_names = (*_TAGS, *parts[-1:])
        if isinstance(step, int) and isinstance(here, list) and step < len(here):
            path, here = f"{path}[{step}]", here[step]
        elif isinstance(step, str) and isinstance(here, Mapping) and (step in here or (last and step not in no_names)):
            path, here = f"{path}.{step}" if path else step, here.get(step)
            parts.append(step)
    return path, parts


_TAGS = frozenset(
    {
        "leaf",
        "bool",
        "int",
        "float",
        "str",
        "finite-float",
        "constrained-int",
        "constrained-str",
        "list[constrained-str]",
    }
)


def _say(fault: ErrorDetails, parts: Sequence[str], model: type[BaseModel]) -> str:
    kind, given = fault["type"], fault["input"]
    if kind == "extra_forbidden":
        return _say_unknown(parts, model)
    if kind == "missing":
        return "is missing"
    if kind == "enum":
        known = [name.strip(" '") for name in fault["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"expected one of {', '.join(known)}; got {given!r:.100}. {_hint(given, known, parts)}".rstrip()
    if isinstance(given, date) and _is_in_tree(parts):
        return f"a date ({given}) cannot be compared: use older_than_mins or newer_than_mins, relative to as_of"
    if _is_in_tree(parts) and (expected := _expected_in_tree(kind, parts)):
        return f"{expected}; got {given!r:.100}"
    message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return message if kind == "value_error" else f"{message}; got {given!r:.100}"


def _expected_in_tree(kind: str, parts: Sequence[str]) -> str | None:
    if kind == "model_type":
        return "expected a leaf {field, op, value}, or one of all, any, not"
    return _VALUE_KINDS if parts[-1] == "value" and kind.endswith(("_type", "_parsing")) else None


def _say_unknown(parts: Sequence[str], model: type[BaseModel]) -> str:
    known, given = list(_known_beside(parts, model)), parts[-1]
    if given in known:
        return "is not valid next to the other keys: expected a leaf {field, op, value}, or one of all, any, not"
    if parts[:1] == ["conditions"] and len(parts) == 2:
        # Never suggest a condition that closes in place of one that escalates, nor the other way round.
        known = [name for name in known if _side(name) in (None, _side(given))]
    near = meant(given, known)
    return f"unknown; did you mean {near!r}?" if near else f"unknown; known here: {', '.join(known)}"


def _is_in_tree(parts: Sequence[str]) -> bool:
    return bool(_TREES & set(parts)) or bool(_OTHERS & set(parts) and "if" in parts[2:])


def _side(name: str) -> str | None:
    """Return whether a condition of this name, possibly misspelt, closes or escalates; None if unknown."""
    words = name.lower().split("_")
    for side, verbs in _VERBS.items():
        if any(close_matches(word, verbs, cutoff=0.7) for word in words):
            return side
    return None


_VERBS = {"escalate": ("escalate", "escalation"), "close": ("close", "expire", "keep")}


def _hint(given: Any, known: Sequence[str], parts: Sequence[str]) -> str:
    if not isinstance(given, str):
        return ""
    if near := meant(given, known):
        return f"Did you mean {near!r}?"
    turned_round = parts[-1:] == ["op"] and is_negated(given)
    return "To negate a test, write {not: {field, op, value}}" if turned_round else ""


def _known_beside(parts: Sequence[str], model: type[BaseModel]) -> Iterable[str]:
    if _is_in_tree(parts):
        return _NODE_KEYS
    if _OTHERS & set(parts[:-1]):
        return [field.alias or name for name, field in Other.model_fields.items()]
    if parts[:1] == ["calendars"] and len(parts) > 1:
        model = Calendar
    beside = Conditions if "conditions" in parts[:-1] else model
    return (field.alias or name for name, field in beside.model_fields.items())
