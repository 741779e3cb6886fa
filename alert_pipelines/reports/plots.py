"""Plots as SVG, drawn by matplotlib where it is installed; it is loaded when the first one is drawn, and not before.

The reports decide what to draw; this module decides how it looks.
"""

import base64
import importlib.util
import io
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from alert_pipelines.extras import how_to_install

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOW_TO_GET_PLOTS = (
    f"Without plots: they need matplotlib. Install it with {how_to_install('reports')} and make the report again."
)

_SIZE_INCHES = (7.6, 2.4)
_TOO_MANY_LABELS = 16
# Told apart also by eyes that see no red or green, and in print (Okabe and Ito).
_COLOURS = ("#0072b2", "#e69f00", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#999999", "#f0e442")


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def stacked_bars(
    title: str, labels: Sequence[str], series: Mapping[str, Sequence[int]], *, beside: Collection[str] = ()
) -> str:
    """An SVG with a bar for each label: the `series` on top of each other, those named in `beside` next to these.

    Each piece of a bar that is not empty is an element whose id says what it is, as "2026-03-01: 4 closes".
    """
    from matplotlib.patches import Patch  # noqa: PLC0415 - as with the figure

    figure, axes = _figure(title)
    width = 0.42 if beside else 0.84
    foot = [0] * len(labels)
    # In the legend by its colour and not by its first bar: a series without bars would have another's colour.
    handles = [Patch(color=_COLOURS[number % len(_COLOURS)], label=name) for number, name in enumerate(series)]
    for number, (name, values) in enumerate(series.items()):
        at = [place + 0.42 for place in range(len(labels))] if name in beside else list(range(len(labels)))
        below = [0] * len(labels) if name in beside else foot
        pieces = [
            (x, low, value, label) for x, low, value, label in zip(at, below, values, labels, strict=True) if value
        ]
        drawn = axes.bar(
            [x for x, *_ in pieces],
            [value for _, _, value, _ in pieces],
            width,
            [low for _, low, _, _ in pieces],
            color=_COLOURS[number % len(_COLOURS)],
        )
        for patch, (_, _, value, label) in zip(drawn.patches, pieces, strict=True):
            patch.set_gid(f"{label}: {value} {name}")
        if name not in beside:
            foot = [low + value for low, value in zip(foot, values, strict=True)]
    return _finished(figure, axes, labels, handles)


def lines(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """An SVG with a line for each of the `series` over the labels; NaN is a gap."""
    figure, axes = _figure(title)
    handles = [
        axes.plot(values, marker="o", markersize=2.5, color=_COLOURS[number % len(_COLOURS)], label=name, gid=name)[0]
        for number, (name, values) in enumerate(series.items())
    ]
    return _finished(figure, axes, labels, handles)


def data_uri(svg: str) -> str:
    """The SVG as a URI that needs nothing else, for an `img` or for Markdown."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _figure(title: str) -> tuple["Figure", "Axes"]:
    # A scan and the code server never draw, and must not load it.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    # Text of others, in which $ does not start mathematics.
    axes.set_title(title, loc="left", fontsize=9, parse_math=False)
    return figure, axes


def _finished(figure: "Figure", axes: "Axes", labels: Sequence[str], handles: Sequence["Artist"]) -> str:
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    every = -(-len(labels) // _TOO_MANY_LABELS) or 1
    places = range(0, len(labels), every)
    axes.set_xticks(list(places), [labels[place] for place in places], fontsize=7, rotation=30, ha="right")
    axes.tick_params(axis="y", labelsize=7)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=7, frameon=False)
    out = io.StringIO()
    # The same numbers make the same file, and text stays text.
    with rc_context({"svg.hashsalt": "alert_pipelines", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    drawn = out.getvalue()
    return drawn[drawn.index("<svg") :]
