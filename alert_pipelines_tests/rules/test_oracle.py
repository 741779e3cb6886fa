"""The oracle itself, where a case that the property tests draw rarely showed that it was wrong."""

import pytest

from alert_pipelines_tests.rules.oracle_trees import tree_holds


@pytest.mark.parametrize(("op", "holds"), [("lt", False), ("lte", False), ("gt", True), ("gte", True)])
def test_the_oracle_held_no_number_above_or_below_one_that_was_multiplied(op: str, *, holds: bool) -> None:
    leaf = {"field": "metadata.speed", "op": op, "value_of": "metadata.limit", "times": 1.5, "plus": 2}
    assert tree_holds(leaf, {"metadata": {"speed": 45, "limit": 20}}, 0) is holds
