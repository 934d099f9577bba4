"""The pictures of the notebook on the full-size Moshi (13): verdicts on layers, the ladder of sizes, time per frame."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .figures import GREEN, INK, ORANGE, PALETTE, RED, SKY, WIDTH
from .plots import numbers

FRAME_MS = 80.0


def verdicts(rows: dict[str, dict[str, float]], within: float) -> Figure:
    """A cell per layer, {row: {layer: difference}}: green and its power of ten where it is `within`, else red and ✗."""
    widest = max(len(cells) for cells in rows.values())
    figure, axes = plt.subplots(figsize=(WIDTH, 0.45 + 0.62 * len(rows)))
    for y, cells in enumerate(rows.values()):
        for x, gap in enumerate(cells.values()):
            fine = gap <= within  # false for NaN, too
            colour = GREEN if fine else RED
            axes.add_patch(Rectangle((x + 0.04, y - 0.42), 0.92, 0.84, facecolor=colour, edgecolor="none"))
            said = ("0" if gap == 0 else f"{math.floor(math.log10(gap))}") if fine else "✗"
            axes.text(x + 0.5, y, said, ha="center", va="center", color="white", fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlim=(0, widest), ylim=(len(rows) - 0.45, -0.55), xticks=())
    axes.set_xlabel("layers in the order they run; in a green cell, the power of ten of the largest difference")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def ladder(values: dict[str, dict[str, float]], unit: dict[str, str]) -> Figure:
    """Rungs on logarithmic axes, {measure: {preset: value}}, one panel per measure, its unit at the top."""
    figure, panels = plt.subplots(1, len(values), figsize=(WIDTH, 2.5))
    for axes, (measure, rungs) in zip(panels, values.items(), strict=True):
        axes.bar(range(len(rungs)), list(rungs.values()), color=[SKY] * (len(rungs) - 1) + [ORANGE], width=0.75)
        for x, value in enumerate(rungs.values()):
            said = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            axes.text(x, value * 1.15, said, ha="center", va="bottom", fontsize=7.5)
        axes.set_xticks(range(len(rungs)), list(rungs))
        axes.set(yscale="log", title=f"{measure}, {unit[measure]}")
        axes.set_ylim(min(rungs.values()) / 4, max(rungs.values()) * 6)
        axes.tick_params(axis="x", length=0)
    return figure


def frame_times(axes: Axes, spans: dict[str, Sequence[tuple[str, float, float]]], line: float = FRAME_MS) -> None:
    """Milliseconds per frame, {machine: [(number format, at the start, at full context)]}, and the line to stay under.

    A dot is the start of a conversation, the bar leads to a memory that is full.
    """
    y, ticks = 0.0, []
    for machine, rows in spans.items():
        for place, (name, fresh, full) in enumerate(rows):
            colour = PALETTE[place % len(PALETTE)]
            axes.hlines(y, fresh, full, color=colour, linewidth=6, alpha=0.5)
            axes.plot(fresh, y, "o", color=colour, markersize=6)
            axes.text(full * 1.12, y, f"{fresh:.3g} to {full:.3g} ms", va="center", fontsize=7.5)
            ticks.append((y, f"{machine}, {name}"))
            y += 1
        y += 0.5
    axes.axvline(line, color=INK, linestyle="--", linewidth=1)
    axes.text(line * 1.05, -1.0, f"{line:.0f} ms: the next frame is here", fontsize=8, va="center")
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.set(xscale="log", xlabel="milliseconds per frame, from memory traffic alone", ylim=(y - 0.6, -1.5))
    axes.set_xlim(right=axes.get_xlim()[1] * 4)
    axes.tick_params(axis="y", length=0)


def staircase(axes: Axes, before: torch.Tensor, after: torch.Tensor, title: str) -> None:
    """What rounding makes of some weights [N]: the value after against the value before, and the line of no change."""
    x, y = numbers(before), numbers(after)
    most = abs(x).max() * 1.05
    axes.plot([-most, most], [-most, most], color=INK, linewidth=0.8, linestyle=":")
    axes.plot(x, y, ".", markersize=3)
    axes.set(title=title, xlabel="weight", ylabel="rounded", xlim=(-most, most), ylim=(-most, most))
