"""How Sphinx makes the docs site of these pages, which are read on the repository's host as well.

Built offline by scripts/docs. What is generated from the code is the Python reference (autodoc, in api.md) and the rule
language's JSON Schema.
"""

import json
import logging
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sphinx.application import Sphinx

from alert_pipelines.rules.files import language_schema

project = "alert_pipelines"
project_copyright = "the alert_pipelines authors"
version = release = version_of("alert-pipelines")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# The repository's host makes anchors of headings in the same way, so links with a fragment lead to the same place.
myst_heading_anchors = 3

# Docstrings are plain text with `names` in it.
default_role = "literal"
autodoc_typehints_format = "short"
# Defaults as they are written: evaluated, that of an environment is the whole environment of the build.
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "alert_pipelines"
html_show_sourcelink = False
html_copy_source = False


# The theme's imports send every library's log lines to the console; those of migrations are no news here.
logging.getLogger("alembic").setLevel(logging.WARNING)


def _leave_out_unwritten(app: Sphinx, docname: str, source: list[str]) -> None:
    """A pattern of the index that matches no page is left out; to Sphinx it would be a warning."""
    if docname == "index":
        pages = Path(app.srcdir)
        lines = source[0].splitlines(keepends=True)
        source[0] = "".join(line for line in lines if not line.endswith("*\n") or any(pages.glob(f"{line.strip()}.md")))


def _write_schema(app: Sphinx) -> None:
    directory = Path(app.srcdir) / "generated"
    directory.mkdir(exist_ok=True)
    (directory / "rules.schema.json").write_text(json.dumps(language_schema(), indent=2) + "\n", encoding="utf-8")


def _show_fields(*given: Any) -> None:
    """What a model says of its fields is shown as the attributes of other classes are."""
    _app, what, _name, documented, _options, lines = given
    if what == "class" and issubclass(documented, BaseModel):
        fields = documented.model_fields.items()
        lines.extend(["", "Attributes:", *(f"    {name}: {field.description}" for name, field in fields)])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _leave_out_unwritten)
    app.connect("builder-inited", _write_schema)
    # Before napoleon, which makes a list of them.
    app.connect("autodoc-process-docstring", _show_fields, priority=400)
