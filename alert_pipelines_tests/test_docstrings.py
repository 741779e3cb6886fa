"""The docstrings of the public names: what tools read of them, and that their examples do what they show."""

import doctest
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from pydantic import BaseModel

import alert_pipelines
from alert_pipelines.mongo import AlertDatabase
from alert_pipelines_tests.dagster_processes import CHECKOUT
from alert_pipelines_tests.defs.conftest import daemons_tick
from alert_pipelines_tests.factories import ago, alert, fill, rule
from alert_pipelines_tests.test_scheduler import DAEMONS, SCHEDULE, beat, new_instance  # noqa: F401 - a fixture

SECTIONS = re.compile(r"^(Args|Attributes|Example|Raises|Returns|Yields):\n((?:    .*\n?|\n)+)", re.MULTILINE)
NAMED = re.compile(r"^    (\w+): ", re.MULTILINE)
PUBLIC = {name: getattr(alert_pipelines, name) for name in alert_pipelines.__all__ if name != "__version__"}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
SCHEDULER = {name for name, function in FUNCTIONS.items() if function.__module__ == "alert_pipelines.scheduler"}
ALERTS = "id,at\nB1,2025-03-01T10:00:00Z\nB2,2025-03-01T11:30:00Z\nB3,2025-03-01T13:00:00Z\n"
MAPPING = """
format: csv
alert_id: {column: id}
source_type: {constant: OVERSPEEDING}
severity: {constant: WARNING}
timestamp: {column: at}
"""


def sections(of: object) -> dict[str, str]:
    return dict(SECTIONS.findall(inspect.getdoc(of) or ""))


def run_example(of: Callable[..., Any], names: dict[str, Any]) -> None:
    """Run the example as a person would type it, where what it uses is imported."""
    globs = {**inspect.unwrap(of).__globals__, **PUBLIC, **names}
    parsed = doctest.DocTestParser().get_doctest(inspect.getdoc(of) or "", globs, of.__name__, None, None)
    said: list[str] = []
    # Else doctest takes the -v of pytest for its own, and prints what went well too.
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(parsed, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tools_could_not_read_what_a_public_function_takes_returns_and_raises(name: str) -> None:
    function = FUNCTIONS[name]
    found = sections(function)
    assert set(NAMED.findall(found.get("Args", ""))) == set(inspect.signature(function).parameters)
    assert "Raises" in found
    assert ("Returns" in found or "Yields" in found) == (inspect.signature(function).return_annotation is not None)
    assert ">>> " in found.get("Example", "")


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - FUNCTIONS.keys()))
def test_a_public_class_named_its_fields_in_prose(name: str) -> None:
    given = PUBLIC[name]
    fields = given.model_fields if issubclass(given, BaseModel) else getattr(given, "__dataclass_fields__", {})
    described = set(NAMED.findall(sections(given).get("Attributes", "")))
    described |= {name for name, field in fields.items() if getattr(field, "description", None)}
    assert described == set(fields)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - SCHEDULER))
def test_an_example_was_never_run(
    db: AlertDatabase, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONGODB_URI", mongo_uri)
    monkeypatch.setenv("MONGODB_DATABASE", db.name)
    (tmp_path / "alerts.csv").write_text(ALERTS)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    (tmp_path / "rules.yaml").write_text("overspeed: {expire_after_mins: 120}")
    fill(db, [alert("A1", timestamp=ago(1_000))], rule("old", {"expire_after_mins": 60}))
    run_example(FUNCTIONS[name], {"db": db})


@pytest.mark.parametrize("name", sorted(SCHEDULER))
def test_an_example_of_the_scheduler_was_never_run(
    new_instance: DagsterInstance,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv("AUTO_CLOSE_CRON", "*/5 * * * *")
    daemons_tick(new_instance, SCHEDULE)
    beat(new_instance, *DAEMONS)
    run_example(FUNCTIONS[name], {})


def test_every_public_name_is_on_the_page_of_the_reference() -> None:
    page = (CHECKOUT / "docs" / "api.md").read_text()
    listed = set(re.findall(r"^\.\. auto(?:class|function):: [\w.]*\.(\w+)$", page, re.MULTILINE))
    # The errors are there as their module is.
    assert PUBLIC.keys() - listed == {"AlertPipelinesError"}
