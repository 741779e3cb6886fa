"""Guesses how a file writes numbers as text: one decimal sign and one thousands sign for all columns."""

import json
from collections.abc import Sequence

from alert_pipelines.loading.draft.columns import NUMBER_SIGNS, Column
from alert_pipelines.loading.mapping_parts import Layout

_PLAIN = {"int": "int", "float": "float", "whole": "float"}


class NumberStyle:
    """The style of NUMBER_SIGNS that most numeric columns need; plain if none needs one."""

    def __init__(self, columns: Sequence[Column], layout: Layout) -> None:
        self._is_text = layout.format == "csv"
        styled = [column for column in columns if column.kind in NUMBER_SIGNS]
        # 1,234 is more than a thousand where a comma separates the values, too, and little more than one elsewhere.
        is_comma_taken = not self._is_text or layout.csv.delimiter == ","
        order = sorted(NUMBER_SIGNS, key=lambda name: is_comma_taken and name != "grouped")
        self._name = max(order, key=lambda name: sum(name in each.number_kinds for each in styled)) if styled else None
        self._samples = [sample for column in columns if self._has(column) for sample in column.samples]

    def line(self) -> str | None:
        """Return the line of a mapping for the style; None if numbers are plain."""
        if self._name is None:
            return None
        decimal, thousands, form = NUMBER_SIGNS[self._name]
        is_grouped = any(found["grouped"] for sample in self._samples if (found := form.fullmatch(sample.strip())))
        marks = f", thousands: {json.dumps(thousands)}" if is_grouped else ""
        return f"numbers: {{decimal: {json.dumps(decimal)}{marks}}}"

    def type_of(self, column: Column) -> str | None:
        """Return int or float for numbers in the style; None for other values."""
        is_written_so = self._name is None or not self._is_text or self._has(column)
        kind = "float" if column.kind in NUMBER_SIGNS else _PLAIN.get(column.kind)
        return kind if is_written_so else None

    def _has(self, column: Column) -> bool:
        return self._name in column.number_kinds
