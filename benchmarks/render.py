"""Makes docs/performance.md and its plot from benchmarks/results; no figure of that page is written by hand.

python -m benchmarks.render
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import arithmetic, tables
from benchmarks.plot import PLOT, draw
from benchmarks.workbench import CHECKOUT, RESULTS

PAGE = CHECKOUT / "docs" / "performance.md"

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
        tables.closing,
    ),
    _section(
        "growth",
        "Nothing to do",
        "This measures a scan with nothing due, five minutes after a scan with the same rules, by condition (medians "
        "of three). `database` is the time that the driver waited for the commands of the scan, without the counts "
        "for `total_checked`, which are in `counts`. Documents, keys and bytes are the profiler's sums over all "
        "commands. The counts read one key per pending alert. The first scans are from before slices: see "
        "[the first look](#the-first-look) for newer figures.",
        tables.growth_section,
    ),
    _section(
        "growth_second",
        "Nothing to do: conditions of the second edition",
        "The same for the conditions that were added in the second edition. In the scans of `suppress_if_other`, 5,000 "
        "of 1,000,000 alerts became old enough, and each was looked up together with all alerts of its driver. This "
        "was changed since; the next section has the new figures. The first scans looked up the others of each alert, "
        "now they do so for each key: see [the first look](#the-first-look).",
        tables.growth_tables,
        "growth --conditions only_if value_of contains within_mins keep_first escalate_if escalate_after_mins count_if "
        "count_statuses count_distinct close_if_other suppress_if_other",
    ),
    _section(
        "growth_calendars",
        "Nothing to do: calendars and suppression",
        "The same, with the shortest of up to nine scans instead of a median, since the machine was busy. No alert "
        "became old enough in these scans. Each one that does costs a look-up.",
        tables.growth_tables,
        "growth --conditions only_during calendar suppress_if_other",
    ),
    _section(
        "first_looks",
        "The first look",
        "This is how long a dry run of one rule takes to read all alerts, by condition, with an indexed key and with "
        "keys that have no index. `CPU s` are the CPU seconds that the server used for the whole dry run, "
        "which also shows what it would close by status and severity. The ratios are of these, since other programs on "
        "the machine make every look longer. `close_if_other` reads all alerts of each key and none closes one; "
        "`suppress_if_other` finds one for each key. Without an index, both sort the alerts and the others by key, and "
        "read each once.",
        tables.first_looks_section,
    ),
    _section(
        "others",
        "Conditions on a source with many alerts",
        "This measures `close_if_other` for 100 pending alerts while the other source has many settled alerts, none of "
        "which matches. With the advised indexes, a look-up reads only the matching alerts. Without them, it reads all "
        "alerts of the other source or, with `when: later`, all that were raised after the alert, and every scan reads "
        "all pending alerts. Here no index is advised for `when: later`, since few alerts were raised later. The next "
        "scan is five minutes later.",
        tables.others,
    ),
    _section(
        "windows",
        "Maintenance windows",
        "This measures scans by four rules, with nothing due and different maintenance windows. Each snoozed alert "
        "has a window. The other windows have `covers: raised`. The 300 past windows last an hour each, and each is "
        "for one of 100 drivers. The last two rows have daily windows with 1,000 past occurrences. The next scan is "
        "five minutes later. Each ratio compares a scan with the same scan without windows.",
        tables.windows,
    ),
    _section("memory", "Memory", "This is the peak memory of the scanning process.", tables.memory),
    _section(
        "tick",
        "Run start-up time",
        "This is the time from requesting a run in Dagster to its end, for a scan with nothing due, its outline, and "
        "a job with one op that does nothing.",
        tables.tick,
    ),
    _section(
        "interference",
        "Impact on other clients",
        "Another client reads and writes single alerts at a steady rate, during a scan and without one.",
        tables.interference,
    ),
    _section(
        "interference_limited",
        "Impact with a limited write rate",
        "The same with `AUTO_CLOSE_MAX_WRITES_PER_S`, and 20,000 alerts due.",
        tables.interference,
        "interference --due 20000 --max-writes-per-s 500",
    ),
    _section(
        "loading",
        "Loading a file",
        "This compares `load`, which reads, converts, checks and inserts rows, with a bare `insert_many` loop over the "
        "same documents in memory. Both write to a collection with the same indexes. Figures are medians of the "
        "rounds. Memory is the peak of the loading process.",
        tables.loading,
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
        *tables.table(("", "measured", *(f"{shards} shard{'s' * (shards > 1)}" for shards in arithmetic.SHARDS)), rows),
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
