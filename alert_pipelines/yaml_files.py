"""YAML and JSON as this project's files are read: nothing is lost silently, and a word means what people mean by it."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import BaseConstructor, ConstructorError, SafeConstructor

from alert_pipelines.errors import AlertPipelinesError
from alert_pipelines.files import read_file

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?"
_OFFSET = "(Z|[-+][0-9]{1,2}(:[0-9]{2})?)"
_SCALARS = (
    ("null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789")),
    ("float", re.compile(r"([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?$"), list("-+.0123456789")),
    ("float", re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"), list("-+.")),
    ("timestamp", re.compile(f"{_DATE}([Tt ] *{_TIME}( *{_OFFSET})?)?$"), list("0123456789")),
    ("merge", re.compile("<<$"), ["<"]),
)
"""What a text without quotes is besides text: a kind, how it is written, and the characters that it starts with.

Each form is one of PyYAML's as well, so that what PyYAML writes without quotes is read back as the text it was.
"""


class _RefuseDuplicates(BaseConstructor):
    """A loader's mixin: a key given twice is an error, where YAML's own loaders keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Raise ConstructorError at the second of two equal keys."""
        repeated = _repeated(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if repeated is not None:
            raise ConstructorError(None, None, f"{repeated!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _TextLoader(_RefuseDuplicates, yaml.BaseLoader):
    """Every scalar is text: a state called No or 1 is neither false nor a number."""


class _Loader(_RefuseDuplicates, SafeConstructor, yaml.BaseLoader):
    """Scalars are what _SCALARS says: `off` is a text and no boolean, `0045` a text and no octal number."""


for _kind, _form, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _form, _first)


MAX_NODES = 1_000_000
"""The most keys and values that a file may have, with what its aliases stand for written out."""


def _refuse_endless(root: yaml.Node) -> None:
    """Raise ConstructorError for an alias within what it stands for, and for aliases that multiply past MAX_NODES."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in within:
            raise ConstructorError(None, None, "it contains itself, by an alias within its anchor", node.start_mark)
        if id(node) not in sizes:
            within.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _parts(node)))
            within.remove(id(node))
            if sizes[id(node)] > MAX_NODES:
                raise ConstructorError(None, None, f"its aliases stand for over {MAX_NODES} values", node.start_mark)
        return sizes[id(node)]

    size(root)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def parse_yaml(text: str, *, as_text: bool = False) -> Any:
    """The content of a YAML text, where all scalars may be taken `as_text`. Raises ValueError saying what is wrong."""
    try:
        loader = (_TextLoader if as_text else _Loader)(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_endless(root)
        return loader.construct_document(root)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error


def read_yaml(path: Path, *, as_text: bool = False) -> Any:
    """The content of a YAML or, by its name, JSON file, as `parse_yaml` reads it; in JSON, numbers stay numbers.

    Raises OSError where it cannot be read, ValueError, which names the format, where it is neither.
    """
    text = read_file(path, "utf-8-sig")
    is_json = path.suffix == ".json"
    try:
        return json.loads(text, object_pairs_hook=_unique) if is_json else parse_yaml(text, as_text=as_text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not valid {'JSON' if is_json else 'YAML'}: {error}") from error


def read_content(path: Path, what: str, error: type[AlertPipelinesError], *, as_text: bool = False) -> Any:
    """What the file `path` holds, as `read_yaml` reads it. Raises `error`, which calls the file `what`."""
    try:
        return read_yaml(path, as_text=as_text)
    except OSError as fault:
        raise error(f"the {what} {path} cannot be read: {fault.strerror or fault}") from fault
    except ValueError as fault:
        raise error(f"the {what} {path} {fault}") from fault


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    repeated = _repeated(key for key, _ in pairs)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is given twice")
    return dict(pairs)


def _repeated(keys: Iterable[str]) -> str | None:
    return next((key for key, times in Counter(keys).items() if times > 1), None)
