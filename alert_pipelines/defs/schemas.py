"""The columns of the collections, as the UI shows them on the assets: the fields of the models, and what is beside."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, get_args, get_origin

from dagster import TableColumn, TableSchema
from pydantic import BaseModel

from alert_pipelines.alerts import Alert
from alert_pipelines.job_model import BackgroundJobModel
from alert_pipelines.rules.model import Rule

_KINDS: Mapping[type, str] = {bool: "bool", int: "int", float: "int", datetime: "date", str: "string", Enum: "string"}

_OF_RULES = (
    TableColumn("created_at", "date", "When the document was made."),
    TableColumn("updated_at", "date", "When it last changed."),
)
_OF_JOBS = (
    TableColumn("run_id", "string", "The Dagster run it belongs to."),
    TableColumn(
        "attempt", "int", "Which attempt of that run it is, from 1: a run whose database was away tries again."
    ),
    TableColumn("errors_total", "int", "How many errors there were."),
    TableColumn(
        "stats", "object", "The rest of the scan's report: by rule and source, conflicts, blocked, rule set version."
    ),
)


def _schema(model: type[BaseModel], beside: Sequence[TableColumn] = ()) -> TableSchema:
    # What a model takes over from another comes after what is its own.
    fields = sorted(model.model_fields.items(), key=lambda field: field[0] not in model.__annotations__)
    columns = [TableColumn(name, _kind(field.annotation), field.description) for name, field in fields]
    return TableSchema(columns=[*columns, *beside])


def _kind(annotation: Any) -> str:
    """What the values of a field are: of several types, the first."""
    origin = get_origin(annotation)
    if origin in (list, tuple):
        return "array"
    if origin is not None:
        return _kind(get_args(annotation)[0])
    return next((kind for kept_as, kind in _KINDS.items() if issubclass(annotation, kept_as)), "object")


ALERTS, RULES, JOBS = _schema(Alert), _schema(Rule, _OF_RULES), _schema(BackgroundJobModel, _OF_JOBS)
