"""What the benchmarks work out of what they measured."""

import sys

import pytest

from benchmarks import growth, interference, workbench


def test_an_exponent_is_the_power_with_which_a_figure_grows() -> None:
    rows = [
        {"pending": pending, "seconds": 3 * pending**2, "keys": 7, "documents": 0} for pending in (100, 1_000, 10_000)
    ]
    found = growth.exponents(rows)
    assert found["seconds"] == pytest.approx(2)
    assert found["keys"] == pytest.approx(0)
    assert found["documents"] is None
    assert growth.exponents(rows[:1])["seconds"] is None


def test_a_percentile_is_never_more_than_the_slowest() -> None:
    assert interference.p99([1.0, 2.0]) <= 2
    assert interference.p99([float(n) for n in range(101)]) == 99


@pytest.mark.parametrize("where", [["--json"], ["--json", "/elsewhere/file.json"]])
@pytest.mark.parametrize("others", [[], ["--sizes", "10", "20"]])
def test_the_command_in_a_result_is_the_one_that_keeps_it_for_the_page(
    monkeypatch: pytest.MonkeyPatch, where: list[str], others: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/benchmarks/growth.py", *where, *others])
    assert workbench.command() == " ".join(["python -m benchmarks.growth", *others, "--json"])
