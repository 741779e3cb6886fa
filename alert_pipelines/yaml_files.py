"""YAML as the files of this project are read: nothing silently lost."""

from typing import Any

import yaml


class RefuseDuplicates(yaml.constructor.BaseConstructor):
    """A loader's mixin: a key given twice is an error, where YAML's own loaders keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Raise yaml.constructor.ConstructorError at the second of two equal keys."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)
