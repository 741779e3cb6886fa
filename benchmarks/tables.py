"""The tables of the sections of docs/performance.md, in Markdown: each function takes what one benchmark kept."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import first_looks, growth, peers
from benchmarks.plot import PLOT


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table; all but the first column to the right."""
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def closing(result: dict[str, Any]) -> list[str]:
    """The times of all contenders in both caches, and their ratios."""
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
        lines += table(("", "s", "checked", "alerts/s", "closed", "closes/s"), rows)
    ratios = [
        (one["what"], f"{one['cache_gb']:g} GB", f"{one['ratio']:.2f}", one["target"]) for one in result["ratios"]
    ]
    return [*lines, "", *table(("ratio", "cache", "measured", "target"), ratios)]


def growth_section(result: dict[str, Any]) -> list[str]:
    """The tables of growth, with the plot."""
    return growth_tables(result, [f"![Growth by condition](images/{PLOT.name})", ""])


def growth_tables(result: dict[str, Any], plot: Sequence[str] = ()) -> list[str]:
    """What a scan costs by condition and size, the exponents, and the ratios to the smallest size."""
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
        *table(columns, rows),
        "",
        *plot,
        "Exponents: the best fit for b in a·pending^b. 0 means no growth; 1 means growth like the pending alerts.",
        "",
        *table(("condition", *growth.MEASURES), fitted),
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
    return [head, "", *table(("condition", *(f"{size:,}" for size in sizes[1:])), lines)]


def others(result: dict[str, Any]) -> list[str]:
    """What a scan costs by the alerts of the other source, with and without the advised indexes."""
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
    return table(columns, rows)


def windows(result: dict[str, Any]) -> list[str]:
    """What a scan takes by the maintenance windows, compared with none."""
    none = next(row for row in result["rows"] if row["windows"] == "none")
    rows = [
        (
            row["windows"],
            *(
                figure
                for name in ("first_seconds", "next_seconds")
                for figure in (f"{row[name]:.2f}", f"{row[name] / none[name]:.2f}")
            ),
        )
        for row in result["rows"]
    ]
    columns = ("windows", "first scan, s", "ratio", "next scan, s", "ratio")
    return [f"{none['pending']:,} pending alerts.", "", *table(columns, rows)]


def memory(result: dict[str, Any]) -> list[str]:
    """The peak memory by size."""
    rows = [
        (row["worker"], f"{row['pending']:,}", f"{row['due']:,}", f"{row['peak_rss_mb']:.1f}") for row in result["rows"]
    ]
    ratios = [(what, f"{ratio:.3f}", f"at most {result['target']}") for what, ratio in result["ratios"].items()]
    return [
        *table(("worker", "pending", "due", "peak RSS, MB"), rows),
        "",
        *table(("largest size / smallest", "measured", "target"), ratios),
    ]


def first_looks_section(result: dict[str, Any]) -> list[str]:
    """The first looks by key and size, and the scan with shadow rules."""
    seconds = {
        (row["pending"], row["key"], row["condition"]): f"{row['seconds']:.1f} / {row['cpu_seconds']:.1f}"
        for row in result["rows"]
    }
    conditions = list(dict.fromkeys(condition for *_, condition in seconds))
    looks = [
        (
            f"`{key}`: {first_looks.KEYS[key]}",
            f"{pending:,}",
            *(seconds.get((pending, key, name), "") for name in conditions),
        )
        for pending, key in dict.fromkeys((pending, key) for pending, key, _ in seconds)
    ]
    ratios = [(one["what"], f"{one['ratio']:.2f}", one["target"]) for one in result["ratios"]]
    return [
        *table(("key", "pending", *(f"{name}, s / CPU s" for name in conditions)), looks),
        "",
        *table(("ratio", "measured", "target"), ratios),
        "",
        "A scan with {rules} shadow rules with these conditions planned for {seconds:.1f} s at {pending:,} pending "
        "alerts, and the server used {cpu_seconds:.1f} CPU s. It evaluated {evaluated} of them. The next scan starts "
        "with the others.".format(**result["shadow"]),
    ]


def tick(result: dict[str, Any]) -> list[str]:
    """The seconds of each kind of run, and their ratios."""
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
        *table(("job", *stages), rows),
        "",
        *table(
            ("to the trivial job", "whole", "run ended, from the queue on", "target of the whole"),
            [
                (job, *(f"{of_trivial[name]:.3f}" for name in ("whole", "run ended")), target)
                for (job, of_trivial), target in zip(
                    result["ratios"].items(), (f"at most {result['target']}", ""), strict=True
                )
            ],
        ),
    ]


def interference(result: dict[str, Any]) -> list[str]:
    """The latency of another client, during a scan and without one."""
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
        *table(("call", "calls", "p50, ms", "p99, ms", "slowest, ms"), rows),
        "",
        *table(("during a scan / quiet", "measured", "target"), ratios),
    ]


def loading(result: dict[str, Any]) -> list[str]:
    """The speed and memory of a load beside a bare loop."""
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
        *table(("format", "rows", "load, rows/s", "bare loop, rows/s", "load / loop", "target"), speeds),
        "",
        *table(("format", "rows", "peak RSS, MB"), peaks),
        "",
        *table(("largest size / smallest", "measured", "target"), growth),
    ]
