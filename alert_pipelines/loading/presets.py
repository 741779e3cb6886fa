"""The mappings of the package, for exports of monitoring and fleet systems."""

from importlib import resources

from alert_pipelines.errors import MappingError
from alert_pipelines.loading.mapping import Mapping, parse_mapping
from alert_pipelines.spelling import did_you_mean

_DIRECTORY = resources.files("alert_pipelines.loading") / "mappings"


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _DIRECTORY.iterdir() if entry.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """Return a preset as YAML, to print or edit. Raises MappingError for an unknown name."""
    if name not in preset_names():
        raise MappingError(f"{name!r} is not a valid preset: {did_you_mean(name, preset_names())}")
    return (_DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8")


def load_preset(name: str) -> Mapping:
    """Return a preset as a mapping. Raises MappingError for an unknown name."""
    return parse_mapping(preset_text(name), f"preset {name}")
