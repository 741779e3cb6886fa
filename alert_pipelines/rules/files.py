"""Rule files: YAML or JSON, the long form, a bare list, and the field's short form."""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from alert_pipelines.alerts import SourceType
from alert_pipelines.errors import RuleFileError
from alert_pipelines.files import write_file
from alert_pipelines.rules.calendars import Calendar
from alert_pipelines.rules.model import Rule, StrictRule
from alert_pipelines.rules.validation import each_once, parse_all, parse_calendar, parse_rule
from alert_pipelines.spelling import did_you_mean
from alert_pipelines.yaml_files import parse_yaml, read_content

# What the field calls the sources, besides their own names.
_SHORT_NAMES = {"overspeed": SourceType.OVERSPEEDING} | {source.lower(): source for source in SourceType}


class RuleFile(BaseModel):
    """The long form."""

    model_config = ConfigDict(extra="forbid", title="Alert rules")

    rules: list[StrictRule]
    calendars: list[Calendar] = []


def read_rules(path: Path) -> list[Rule]:
    """Read the rules of a YAML or, by its name, JSON file. Raises RuleFileError."""
    return parse_rules(read_content(path, "rule file", RuleFileError), str(path))


def parse_rules_text(text: str) -> list[Rule]:
    """The rules of a YAML text that is in no file. Raises RuleFileError."""
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise RuleFileError(f"the rules are not valid YAML: {error}") from error
    return parse_rules(content, "the rules")


def parse_rules(content: Any, origin: str) -> list[Rule]:
    """The rules of a file's content, all checked; `origin` is what errors call it. Raises RuleFileError."""
    calendars: list[Calendar] = []
    problems: list[str] = []
    if isinstance(content, Mapping) and "rules" in content:
        content = dict(content)
        calendars, problems = _calendars(content.pop("calendars", None))
    rules, faults = parse_all(
        _documents(content, origin),
        lambda document: parse_rule(document, strict=True).with_calendars(calendars),
        lambda rule: f"rule {rule.rule_id!r}",
    )
    problems += faults
    if problems:
        raise RuleFileError("\n  ".join([f"{origin}: the rules cannot be used:", *problems]) + "\nSee docs/rules.md.")
    return rules


def _calendars(content: Any) -> tuple[list[Calendar], list[str]]:
    """The calendars of a file, and what is wrong with them."""
    if not isinstance(content, list | None):
        return [], [f"calendars: expected a list; got {content!r:.100}"]
    return parse_all(content or (), parse_calendar, lambda calendar: f"calendar {calendar.name!r}")


def default_rules() -> list[Rule]:
    """Return the default rules of the package, for the six sources."""
    text = files("alert_pipelines.rules").joinpath("default_rules.yaml").read_text(encoding="utf-8")
    return parse_rules(parse_yaml(text), "default_rules.yaml")


def dump_rules(rules: Iterable[Rule], file_format: Literal["yaml", "json"] = "yaml") -> str:
    """The rules as a file that `read_rules` reads back. Raises AlertPipelinesError where two have one rule_id."""
    documents = [rule.canonical() for rule in each_once(rules)]
    for document in documents:
        # The mode says it, and says more.
        del document["is_active"]
    if file_format == "json":
        return json.dumps({"rules": documents}, indent=2, ensure_ascii=False) + "\n"
    dumped: str = yaml.safe_dump({"rules": documents}, sort_keys=False, allow_unicode=True, width=100)
    return dumped


def write_rules(path: Path, rules: Iterable[Rule]) -> None:
    """Write `rules` as `dump_rules` does, JSON where `path` is named so, else YAML. Raises RuleFileError."""
    try:
        write_file(path, dump_rules(rules, "json" if path.suffix == ".json" else "yaml"))
    except OSError as error:
        raise RuleFileError(f"the rule file {path} cannot be written: {error.strerror or error}") from error


def language_schema() -> dict[str, Any]:
    """JSON Schema of the long form, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RuleFile.model_json_schema()}


def _documents(content: Any, origin: str) -> list[Any]:
    if isinstance(content, Mapping) and "rules" in content:
        beside = [str(key) for key in content if key != "rules"]
        if beside:
            raise RuleFileError(f"{origin}: unknown next to 'rules': {', '.join(beside)}")
        content = content["rules"]
    if isinstance(content, list):
        return content
    if isinstance(content, Mapping) and all(isinstance(value, Mapping) for value in content.values()):
        return [_expanded(str(name), conditions, origin) for name, conditions in content.items()]
    # Not its content: whoever launches a run may name a file that is not theirs to read.
    raise RuleFileError(
        f"{origin}: expected 'rules:' with a list of rules, or the short form, a name with its conditions; "
        f"got a {type(content).__name__}"
    )


def _expanded(name: str, conditions: Mapping[str, Any], origin: str) -> dict[str, Any]:
    source_type = _SHORT_NAMES.get(name.lower())
    if source_type is None:
        raise RuleFileError(
            f"{origin}: {name!r} is not a valid source of the short form; {did_you_mean(name, _SHORT_NAMES)}"
        )
    return {"rule_id": name, "source_type": str(source_type), "conditions": dict(conditions)}
