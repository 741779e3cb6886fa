"""What the benchmarks work out of what they measured; and that each runs to its end, with few alerts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import first_looks, growth, interference, peers, tick, workbench
from benchmarks.workbench import CHECKOUT


def test_an_exponent_is_the_power_with_which_a_figure_grows() -> None:
    rows = [
        {"pending": pending, "seconds": 3 * pending**2, "keys": 7, "documents": 0} for pending in (100, 1_000, 10_000)
    ]
    found = growth.exponents(rows)
    assert found["seconds"] == pytest.approx(2)
    assert found["keys"] == pytest.approx(0)
    assert found["documents"] is None
    assert growth.exponents(rows[:1])["seconds"] is None


def test_a_first_look_is_held_against_its_siblings_and_against_fewer_alerts() -> None:
    seconds = {"keep_first": (1, 10), "keep_latest": (3, 60)}
    rows = [
        {"pending": pending, "key": key, "condition": condition, "cpu_seconds": took}
        for key in first_looks.KEYS
        for condition in first_looks.CONDITIONS
        for pending, took in zip((100, 1_000), seconds.get(condition, (1, 10)), strict=True)
    ]
    found = {one["what"]: one["ratio"] for one in first_looks.ratios(rows)}
    assert found["the longest to the shortest at 1,000, metadata.speed: no index, 60 values"] == 6
    assert found["power of keep_first, metadata.speed"] == pytest.approx(1)
    assert found["power of keep_latest, metadata.speed"] == pytest.approx(1.3, abs=0.01)


def test_closing_was_compared_only_where_the_alerts_do_not_fit_the_cache() -> None:
    seconds = {("scan", 0.5): 3, ("bare_update_many", 0.5): 4, ("scan", 4): 2, ("bare_update_many", 4): 1}
    rows = [
        {"cache_gb": cache_gb, "contender": name, "seconds": seconds.get((name, cache_gb), 1)}
        | {"closed_per_s": 1, "looked_at_per_s": 1}
        for cache_gb in peers.CACHES_GB
        for name in ("scan", "bare_update_many", "lean_loop", "old_job", "old_job_closing")
    ]
    what = "seconds of the scan / of the bare update_many"
    found = {one["cache_gb"]: one["ratio"] for one in peers.ratios(rows) if one["what"] == what}
    assert found == {0.5: 0.75, 4: 2}


def test_a_percentile_is_never_more_than_the_slowest() -> None:
    assert interference.p99([1.0, 2.0]) <= 2
    assert interference.p99([float(n) for n in range(101)]) == 99


def test_the_tick_had_a_target_and_nothing_that_held_it_to_that() -> None:
    assert tick.fault_of(1.24, samples=25) is None
    assert tick.fault_of(1.31, samples=2) is None
    assert "1.31 times" in str(tick.fault_of(1.31, samples=25))


@pytest.mark.parametrize("where", [["--json"], ["--json", "/elsewhere/file.json"]])
@pytest.mark.parametrize("others", [[], ["--sizes", "10", "20"]])
def test_the_command_in_a_result_is_the_one_that_keeps_it_for_the_page(
    monkeypatch: pytest.MonkeyPatch, where: list[str], others: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/benchmarks/growth.py", *where, *others])
    assert workbench.command() == " ".join(["python -m benchmarks.growth", *others, "--json"])


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("peers", "--pending 2000 --due 100 --rounds 1 --loop-seconds 1"),
        ("growth", "--sizes 200 400 --conditions close_if keep_latest"),
        ("first_looks", "--sizes 200 --indexed-sizes 400"),
        ("others", "--pending 10 --others 20"),
        ("windows", "--pending 200 --rounds 1"),
        ("memory", "--sizes 200 --due 20 --many-due 40"),
        ("tick", "--pending 200 --samples 1"),
        # So many that the scan outlasts some calls of the other client.
        ("interference", "--pending 20000 --due 10000 --rounds 1"),
        ("interference", "--pending 2000 --due 1000 --rounds 1 --max-writes-per-s 500"),
        ("loading", "--rows 2000 --rounds 1 --sizes 200 400"),
    ],
)
def test_it_runs_to_its_end_and_keeps_what_the_page_is_made_of(name: str, options: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", *options.split(), "--json", str(kept)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result, of_the_page = json.loads(kept.read_text()), json.loads((workbench.RESULTS / f"{name}.json").read_text())
    assert result.keys() == of_the_page.keys()
    assert result["about"]["command"] == f"python -m benchmarks.{name} {options} --json"
