"""The errors: one tree, on one page."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import alert_pipelines
from alert_pipelines import errors

# What a caller inside the package catches, or Dagster, always: no person meets them.
INTERNAL = {"BadValueError", "RowError", "_UnqueryableKeyError", "MessageFailure", "_ForeignError"}


def drawn() -> Iterator[tuple[str, str]]:
    """Each class of the tree in the module's docstring, and the one it stands below."""
    path: list[str] = []
    for indent, name in re.findall(r"^    ([│├└─ ]*)(\w+Error)$", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        path[depth:] = [name]
        yield name, path[depth - 1] if depth else "Exception"


def test_the_tree_of_the_page_is_the_tree_of_the_classes() -> None:
    classes = inspect.getmembers(errors, inspect.isclass)
    raised = {name: found for name, found in classes if issubclass(found, Exception)}
    assert dict(drawn()) == {name: found.__bases__[0].__name__ for name, found in raised.items()}


def test_two_unrelated_errors_had_one_name_and_41_stood_in_30_modules() -> None:
    elsewhere = {
        f"{module.name}.{name}"
        for module in walk_packages(alert_pipelines.__path__, "alert_pipelines.")
        if not module.name.endswith("__main__")
        for name, found in inspect.getmembers(import_module(module.name), inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == module.name and name not in INTERNAL
        if module.name != errors.__name__
    }
    assert not elsewhere
