"""What the package imports is what pyproject.toml declares."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from alert_pipelines_tests.dagster_processes import CHECKOUT


def imported() -> dict[str, str]:
    """Each top-level package that the code imports from elsewhere, and a file that does."""
    found: dict[str, str] = {}
    for path in sorted((CHECKOUT / "alert_pipelines").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            found |= {module.partition(".")[0]: path.name for module in modules}
    return {name: file for name, file in found.items() if name not in {*sys.stdlib_module_names, "alert_pipelines"}}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_packages_were_imported_that_only_other_packages_happened_to_bring() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    requirements = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    declared = {normal(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in requirements}
    brought_by = packages_distributions()
    undeclared = {
        name: file
        for name, file in imported().items()
        if not declared & {normal(one) for one in brought_by.get(name, ())}
    }
    assert not undeclared
