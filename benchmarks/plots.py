"""Draws the plots of the page with matplotlib, in an environment of its own.

    python -m benchmarks.plots FOLDER < PLOTS.json

The same data give the same file: no date, fixed ids, and text as text.
"""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 8})

from matplotlib import pyplot as plt  # noqa: E402  # after the backend is chosen

_COLOURS: Final = {"ours": "#1f6f8b", "baseline": "#b0b0b0", "peer": "#d98c3f"}
_COLUMNS: Final = 2


def main() -> None:
    """Draw the plots that stdin describes."""
    folder = Path(sys.argv[1])
    for plot in json.load(sys.stdin):
        (folder / plot["file"]).write_text(draw(plot), "utf-8")


def draw(plot: dict[str, Any]) -> str:
    """Return the SVG text of a plot: horizontal bars of the medians, with lines from minimum to maximum."""
    panels = plot["panels"]
    rows = -(-len(panels) // _COLUMNS)
    heights = [
        max(len(panel["bars"]) for panel in panels[start : start + _COLUMNS])
        for start in range(0, len(panels), _COLUMNS)
    ]
    figure, axes = plt.subplots(
        rows,
        _COLUMNS,
        figsize=(10, 0.8 * rows + 0.25 * sum(heights)),
        squeeze=False,
        layout="constrained",
        height_ratios=[height + 1.5 for height in heights],
    )
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, panel in zip(axes.flat, panels, strict=False):
        bars = panel["bars"]
        names, roles, medians, lows, highs = zip(*bars, strict=True)
        errors = [
            [middle - low for middle, low in zip(medians, lows, strict=True)],
            [high - middle for middle, high in zip(medians, highs, strict=True)],
        ]
        places = range(len(bars))
        colours = [_COLOURS[role] for role in roles]
        axis.barh(places, medians, xerr=errors, color=colours, height=0.7, error_kw={"linewidth": 0.8})
        axis.set_yticks(places, names)
        axis.invert_yaxis()
        axis.set_title(panel["title"], loc="left", fontsize=8, fontweight="bold")
        axis.set_xlabel(panel["measure"], fontsize=7)
        axis.grid(axis="x", linewidth=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # A tenth of a point is exact enough, and every viewer has a font without serifs.
    text = re.sub(r"(\d+\.\d)\d+", r"\1", content.getvalue())
    text = re.sub(r"font-family: [^;\"]+", "font-family: sans-serif", text)
    text = "\n".join(line.rstrip() for line in text.splitlines())
    return f"{text}\n<!-- data {plot['digest']} -->\n"


if __name__ == "__main__":
    main()
