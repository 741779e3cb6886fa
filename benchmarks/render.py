"""Makes docs/performance.md and its plot from benchmarks/results; no figure of that page is written by hand.

python -m benchmarks.render
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks import arithmetic, first_looks, growth, peers
from benchmarks.plot import draw
from benchmarks.workbench import CHECKOUT, RESULTS

PAGE = CHECKOUT / "docs" / "performance.md"
PLOT = CHECKOUT / "docs" / "images" / "growth.svg"

_INTRO = """\
# Performance

This page shows how fast scans are, what a scan with nothing due costs, and how scans affect other clients. Each section
has the command in `benchmarks/` that measured its figures, on a separate mongod with majority writes. The results are
in `benchmarks/results`, and `python -m benchmarks.render` generates this page from them. To measure, use a machine that
does nothing else: each section shows the load average at the end of the run. For more than one machine, see
[Scaling out](scaling.md).
"""

_NOT_MEASURED = """\
**Not measured.** This table extrapolates the figures above, for shards like the machine of each section. A first look
by an indexed key reads slices, two at a time, each with a separate query. [Scaling out](scaling.md) lists what
the extrapolation leaves out."""


def page() -> str:
    """The page that the results make."""
    return "\n".join([_INTRO, *(section() for section in _SECTIONS), *_arithmetic()])


def _section(
    name: str,
    title: str,
    says: str,
    body: Callable[[dict[str, Any]], Iterable[str]],
    command: str | None = None,
) -> Callable[[], str]:
    def section() -> str:
        path = RESULTS / f"{name}.json"
        head = [f"## {title}", "", says, ""]
        if not path.exists():
            return "\n".join([*head, f"Not measured yet: `python -m benchmarks.{command or name} --json`.", ""])
        result = json.loads(path.read_text())
        return "\n".join([*head, _measured_with(result["about"]), "", *body(result), ""])

    return section


def _measured_with(about: dict[str, Any]) -> str:
    load = ", ".join(map(str, about["load_average_1_5_15_min"]))
    return (
        f"    {about['command']}\n\n"
        f"{about['date']}: {about['processor']}, {about['cores']} cores, {about['memory_gb']} GB, {about['system']}; "
        f"Python {about['python']}, MongoDB {about['mongod']}, PyMongo {about['pymongo']}, Dagster {about['dagster']}; "
        f"load average {load}."
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table; all but the first column to the right."""
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def _closing(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['due']:,} of {result['pending']:,} pending alerts are due."]
    for cache_gb in peers.CACHES_GB:
        rows = [
            (
                row["contender"],
                f"{row['seconds']:.2f}",
                *(f"{row[figure]:,.0f}" for figure in ("looked_at", "looked_at_per_s", "closed", "closed_per_s")),
            )
            for row in result["rows"]
            if row["cache_gb"] == cache_gb
        ]
        lines += ["", f"With a cache of {cache_gb:g} GB:", ""]
        lines += _table(("", "s", "checked", "alerts/s", "closed", "closes/s"), rows)
    ratios = [
        (one["what"], f"{one['cache_gb']:g} GB", f"{one['ratio']:.2f}", one["target"]) for one in result["ratios"]
    ]
    return [*lines, "", *_table(("ratio", "cache", "measured", "target"), ratios)]


def _growth(result: dict[str, Any]) -> list[str]:
    return _growth_tables(result, [f"![Growth by condition](images/{PLOT.name})", ""])


def _growth_tables(result: dict[str, Any], plot: Sequence[str] = ()) -> list[str]:
    columns = (
        "condition",
        "pending",
        "first scan, s",
        "a scan, s",
        "database, ms",
        "counts, ms",
        "commands",
        "documents",
        "keys",
        "bytes",
        "peak, MB",
    )
    rows = [
        (
            row["condition"],
            f"{row['pending']:,}",
            f"{row['first_seconds']:.2f}",
            *(
                ("not planned in time", *[""] * 7)
                if row["failed"]
                else (
                    f"{row['seconds']:.3f}",
                    f"{row['without_counts_ms']:.1f}",
                    f"{row['counts_ms']:.1f}",
                    row["commands"],
                    f"{row['documents']:,}",
                    f"{row['keys']:,}",
                    f"{row['bytes']:,}",
                    f"{row['peak_rss_mb']:.0f}",
                )
            ),
        )
        for row in result["rows"]
    ]
    fitted = [
        (condition, *("none" if found[name] is None else f"{found[name]:.2f}" for name in growth.MEASURES))
        for condition, found in result["exponents"].items()
    ]
    return [
        *_table(columns, rows),
        "",
        *plot,
        "Exponents: the best fit for b in a·pending^b. 0 means no growth; 1 means growth like the pending alerts.",
        "",
        *_table(("condition", *growth.MEASURES), fitted),
        "",
        *_growth_ratios(result["rows"]),
    ]


def _growth_ratios(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Target 3: database time without the counts, at the largest size up to a million against the smallest."""
    sizes = sorted({row["pending"] for row in rows})
    measured = {(row["condition"], row["pending"]): row["without_counts_ms"] for row in rows if not row["failed"]}

    def ratio(condition: str, pending: int) -> str:
        least, most = (measured.get((condition, size)) for size in (sizes[0], pending))
        return f"{most / least:.2f}" if least and most else "not measured"

    lines = [
        (condition, *(ratio(condition, size) for size in sizes[1:]))
        for condition in dict.fromkeys(row["condition"] for row in rows)
    ]
    head = f"Database time without the counts, compared with {sizes[0]:,}. The target is at most 1.5 at 1,000,000:"
    return [head, "", *_table(("condition", *(f"{size:,}" for size in sizes[1:])), lines)]


def _others(result: dict[str, Any]) -> list[str]:
    rows = [
        (
            f"`when: {row['when']}`, {'with' if row['indexed'] else 'without'} the advised indexes",
            f"{row['pending']:,}",
            f"{row['others']:,}",
            f"{row['first_seconds']:.2f}",
            f"{row['first_documents']:,}",
            f"{row['next_seconds']:.2f}",
            f"{row['next_documents']:,}",
        )
        for row in result["rows"]
    ]
    columns = ("", "pending", "others", "first scan, s", "documents", "next scan, s", "documents")
    return _table(columns, rows)


def _memory(result: dict[str, Any]) -> list[str]:
    rows = [
        (row["worker"], f"{row['pending']:,}", f"{row['due']:,}", f"{row['peak_rss_mb']:.1f}") for row in result["rows"]
    ]
    ratios = [(what, f"{ratio:.3f}", f"at most {result['target']}") for what, ratio in result["ratios"].items()]
    return [
        *_table(("worker", "pending", "due", "peak RSS, MB"), rows),
        "",
        *_table(("largest size / smallest", "measured", "target"), ratios),
    ]


def _first_looks(result: dict[str, Any]) -> list[str]:
    seconds = {
        (row["pending"], row["key"], row["condition"]): f"{row['seconds']:.1f} / {row['cpu_seconds']:.1f}"
        for row in result["rows"]
    }
    conditions = list(dict.fromkeys(condition for *_, condition in seconds))
    looks = [
        (f"`{key}`: {first_looks.KEYS[key]}", f"{pending:,}", *(seconds[pending, key, name] for name in conditions))
        for pending, key in dict.fromkeys((pending, key) for pending, key, _ in seconds)
    ]
    ratios = [(one["what"], f"{one['ratio']:.2f}", one["target"]) for one in result["ratios"]]
    return [
        *_table(("key", "pending", *(f"{name}, s / CPU s" for name in conditions)), looks),
        "",
        *_table(("ratio", "measured", "target"), ratios),
        "",
        "A scan with {rules} shadow rules with these conditions planned for {seconds:.1f} s at {pending:,} pending "
        "alerts, and the server used {cpu_seconds:.1f} CPU s. It evaluated {evaluated} of them. The next scan starts "
        "with the others.".format(**result["shadow"]),
    ]


def _tick(result: dict[str, Any]) -> list[str]:
    stages = list(next(iter(result["rows"].values())))
    rows = [(job, *(f"{medians[stage]:.2f}" for stage in stages)) for job, medians in result["rows"].items()]
    says = (
        "Medians in seconds. `queued` is the time from the request to its answer. The stages count from the time when "
        "the daemon takes the run out of the queue. `whole` is the sum, with one second for the wait in the queue, "
        "which is its mean. `log entries` are those of the event log. `outline_job` has the assets, checks and log "
        "lines of the scan and does nothing. Its time beyond `trivial_job` is Dagster's share. The rest of the time of "
        "`auto_close_job` is the scan, and importing the driver and the code location."
    )
    return [
        says,
        "",
        *_table(("job", *stages), rows),
        "",
        *_table(
            ("to the trivial job", "whole", "run ended, from the queue on", "target of the whole"),
            [
                (job, *(f"{of_trivial[name]:.3f}" for name in ("whole", "run ended")), target)
                for (job, of_trivial), target in zip(
                    result["ratios"].items(), (f"at most {result['target']}", ""), strict=True
                )
            ],
        ),
    ]


def _interference(result: dict[str, Any]) -> list[str]:
    limit = result["max_writes_per_s"]
    rows = [
        (
            f"{row['kind']}, {'during a scan' if row['phase'] == 'scan' else 'quiet'}",
            row["calls"],
            *(f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms", "slowest_ms")),
        )
        for row in result["rows"]
    ]
    ratios = [
        (f"p99 of a {kind}", f"{ratio:.2f}", f"at most {result['target']}") for kind, ratio in result["ratios"].items()
    ]
    seconds = ", ".join(f"{one:.1f}" for one in result["scan_seconds"])
    return [
        f"The scans wrote {'at full speed' if limit is None else f'at most {limit:,} alerts/s'} and took {seconds} s.",
        "",
        *_table(("call", "calls", "p50, ms", "p99, ms", "slowest, ms"), rows),
        "",
        *_table(("during a scan / quiet", "measured", "target"), ratios),
    ]


def _loading(result: dict[str, Any]) -> list[str]:
    speeds = [
        (
            row["format"],
            f"{row['rows']:,}",
            *(f"{row[figure]:,.0f}" for figure in ("load_rows_per_s", "bare_rows_per_s")),
            f"{row['ratio']:.2f}",
            f"at least {result['target']}",
        )
        for row in result["speed"]
    ]
    peaks = [(row["format"], f"{row['rows']:,}", f"{row['peak_rss_mb']:.1f}") for row in result["memory"]]
    growth = [
        (kind, f"{ratio:.3f}", f"at most {result['memory_target']}") for kind, ratio in result["memory_growth"].items()
    ]
    return [
        *_table(("format", "rows", "load, rows/s", "bare loop, rows/s", "load / loop", "target"), speeds),
        "",
        *_table(("format", "rows", "peak RSS, MB"), peaks),
        "",
        *_table(("largest size / smallest", "measured", "target"), growth),
    ]


_SECTIONS = (
    _section(
        "peers",
        "Closing",
        (
            "This compares a complete scan with one bare `update_many` of the same alerts, and with loops that people "
            "use today. It runs with a server cache that is too small for the alerts and their indexes, and with one "
            "that is large enough.\n\n"
            "* `scan`: a complete scan, from claim to job record\n"
            "* `bare_update_many`: one `update_many` with the same filter and update\n"
            "* `lean_loop`: one query for the due alerts, then one `update_one` for each\n"
            "* `old_job`: the APScheduler job, which reads the pending list and queries the rules for each alert\n"
            "* `old_job_closing`: only the closing part of the old job, for due alerts that an index finds\n\n"
            "`checked` counts the pending alerts that were read, or skipped because an index shows that they are not "
            "due. The share of due alerts is the same in the list of the old job as in all alerts, so its two ratios "
            "are nearly equal."
        ),
        _closing,
    ),
    _section(
        "growth",
        "Nothing to do",
        "This measures a scan with nothing due, five minutes after a scan with the same rules, by condition (medians "
        "of three). `database` is the time that the driver waited for the commands of the scan, without the counts "
        "for `total_checked`, which are in `counts`. Documents, keys and bytes are the profiler's sums over all "
        "commands. The counts read one key per pending alert. The first scans are from before slices: see "
        "[the first look](#the-first-look) for newer figures.",
        _growth,
    ),
    _section(
        "growth_second",
        "Nothing to do: conditions of the second edition",
        "The same for the conditions that were added in the second edition. In the scans of `suppress_if_other`, 5,000 "
        "of 1,000,000 alerts became old enough, and each was looked up together with all alerts of its driver. This "
        "was changed since; the next section has the new figures.",
        _growth_tables,
        "growth --conditions only_if value_of contains within_mins keep_first escalate_if escalate_after_mins count_if "
        "count_statuses count_distinct close_if_other suppress_if_other",
    ),
    _section(
        "growth_calendars",
        "Nothing to do: calendars and suppression",
        "The same, with the shortest of up to nine scans instead of a median, since the machine was busy. No alert "
        "became old enough in these scans. Each one that does costs a look-up.",
        _growth_tables,
        "growth --conditions only_during calendar suppress_if_other",
    ),
    _section(
        "first_looks",
        "The first look",
        "This is how long a dry run of one rule takes to read all alerts, by condition, with an indexed key and with "
        "keys that have no index. `CPU s` are the CPU seconds that the server used for the whole dry run, "
        "which also shows what it would close by status and severity. The ratios are of these, since other programs on "
        "the machine make every look longer.",
        _first_looks,
    ),
    _section(
        "others",
        "Conditions on a source with many alerts",
        "This measures `close_if_other` for 100 pending alerts while the other source has many settled alerts, none of "
        "which matches. With the advised indexes, a look-up reads only the matching alerts. Without them, it reads all "
        "alerts of the other source or, with `when: later`, all that were raised after the alert, and every scan reads "
        "all pending alerts. Here no index is advised for `when: later`, since few alerts were raised later. The next "
        "scan is five minutes later.",
        _others,
    ),
    _section("memory", "Memory", "This is the peak memory of the scanning process.", _memory),
    _section(
        "tick",
        "Run start-up time",
        "This is the time from requesting a run in Dagster to its end, for a scan with nothing due, its outline, and "
        "a job with one op that does nothing.",
        _tick,
    ),
    _section(
        "interference",
        "Impact on other clients",
        "Another client reads and writes single alerts at a steady rate, during a scan and without one.",
        _interference,
    ),
    _section(
        "interference_limited",
        "Impact with a limited write rate",
        "The same with `AUTO_CLOSE_MAX_WRITES_PER_S`, and 20,000 alerts due.",
        _interference,
        "interference --due 20000 --max-writes-per-s 500",
    ),
    _section(
        "loading",
        "Loading a file",
        "This compares `load`, which reads, converts, checks and inserts rows, with a bare `insert_many` loop over the "
        "same documents in memory. Both write to a collection with the same indexes. Figures are medians of the "
        "rounds. Memory is the peak of the loading process.",
        _loading,
    ),
)


def _arithmetic() -> list[str]:
    rows = [(line.what, line.measured, *line.at_shards) for line in arithmetic.lines()]
    if not rows:
        return []
    return [
        f"## Extrapolation: {arithmetic.PENDING:,} pending alerts and {arithmetic.CLOSES_PER_S:,} closes/s",
        "",
        _NOT_MEASURED,
        "",
        *_table(("", "measured", *(f"{shards} shard{'s' * (shards > 1)}" for shards in arithmetic.SHARDS)), rows),
        "",
    ]


def main() -> None:
    """Write the page and the plot."""
    PAGE.write_text(page())
    measured = RESULTS / "growth.json"
    if measured.exists():
        draw(json.loads(measured.read_text())["rows"], PLOT)
    print(f"made {PAGE.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
