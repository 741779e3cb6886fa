"""The plot of docs/performance.md: what a scan with nothing to do costs, by the pending alerts."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.workbench import CHECKOUT

PLOT = CHECKOUT / "docs" / "images" / "growth.svg"

_PLOTTED = {
    "seconds": "a scan, s",
    "database_ms": "database time, ms",
    "documents": "documents examined",
    "keys": "index keys examined",
    "bytes": "bytes sent",
    "peak_rss_mb": "peak RSS, MB",
}


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw what grows with the pending alerts, a line a condition."""
    import matplotlib as mpl  # noqa: PLC0415 - the page alone, and its test, need no plot

    mpl.use("svg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    # The same figures make the same file.
    mpl.rcParams["svg.hashsalt"] = "growth"
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    for axis, (name, title) in zip(axes.flat, _PLOTTED.items(), strict=True):
        for condition in dict.fromkeys(row["condition"] for row in rows):
            points = [(row["pending"], row[name]) for row in rows if row["condition"] == condition and name in row]
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1, label=condition)
        values = [row[name] for row in rows if name in row]
        # Whole powers of ten: else a figure that stays as it is fills the axis with its noise.
        between = (10 ** math.floor(math.log10(min(values))), 10 ** (math.floor(math.log10(max(values))) + 1))
        axis.set(title=title, xscale="log", yscale="log", xlabel="pending", ylim=between)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
