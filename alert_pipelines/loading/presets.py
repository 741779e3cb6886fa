"""The mappings that come with the package, for what monitoring and fleet systems export."""

from importlib import resources

from alert_pipelines.errors import MappingError
from alert_pipelines.loading.mapping import Mapping, parse_mapping
from alert_pipelines.spelling import did_you_mean

_DIRECTORY = resources.files("alert_pipelines.loading") / "mappings"


def preset_names() -> list[str]:
    """All presets, in alphabetical order."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _DIRECTORY.iterdir() if entry.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The preset as it is written, to print and to edit. Raises MappingError for a name that no preset has."""
    if name not in preset_names():
        raise MappingError(f"{name!r} is not a valid preset: {did_you_mean(name, preset_names())}")
    return (_DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8")


def load_preset(name: str) -> Mapping:
    """The preset as a mapping. Raises MappingError for a name that no preset has."""
    return parse_mapping(preset_text(name), f"preset {name}")
