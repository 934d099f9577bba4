"""The pictures of notebook 10: who does what in the grid, and who speaks when."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PALETTE, RED, WIDTH
from .plots import STREAMS, bare

Stretches = Sequence[tuple[float, float]]  # (start, end) in seconds
Row = tuple[Stretches, Stretches]  # Moshi's, the user's


def roles(columns: dict[str, Sequence[int]], names: Sequence[str] = STREAMS) -> Figure:
    """Which rows of the grid are read or said, {title: the numbers of the rows that are filled}."""
    colours = [GREEN, *[ORANGE] * ((len(names) - 1) // 2), *[BLUE] * ((len(names) - 1) // 2)]
    figure, axes = plt.subplots(figsize=(WIDTH, 0.55 + 0.185 * len(names)))
    for x, (title, filled) in enumerate(columns.items()):
        unknown = set(filled) - set(range(len(names)))
        if unknown:
            raise ValueError(f"there are rows 0 to {len(names) - 1}, got {sorted(unknown)} in {title!r}")
        axes.text(x + 0.48, -0.25, title, ha="center", va="bottom", fontsize=8)
        for y, colour in enumerate(colours):
            shade = colour if y in filled else PALE
            axes.add_patch(Rectangle((x, y), 0.96, 0.86, facecolor=shade, edgecolor="none"))
    for y, name in enumerate(names):
        axes.text(-0.05, y + 0.43, f"{name}  {y}", ha="right", va="center", fontsize=7)
    bare(axes, (-0.8, len(columns)), (len(names), -1.6))
    return figure


def lanes(rows: dict[str, Row], seconds: float, title: str = "", mark: float | None = None) -> Figure:
    """Conversations below each other, {name: (Moshi's stretches, the user's)}: two thin lanes each, overlaps in red.

    mark: a moment in seconds at which all have a dashed line.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.95 + 0.42 * len(rows)))
    for y, (moshi, user) in enumerate(rows.values()):
        axes.add_patch(Rectangle((0, y - 0.38), seconds, 0.76, facecolor=PALE, edgecolor="none", zorder=0))
        for own, place, colour in ((moshi, y - 0.34, ORANGE), (user, y + 0.02, BLUE)):
            for start, end in own:
                axes.add_patch(Rectangle((start, place), end - start, 0.32, facecolor=colour, edgecolor="none"))
        for a, b in ((a, b) for a in moshi for b in user):
            start, end = max(a[0], b[0]), min(a[1], b[1])
            if end > start:
                axes.plot([start, end], [y, y], color=RED, linewidth=3, solid_capstyle="butt")
    if mark is not None:
        axes.axvline(mark, color=INK, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set(xlim=(0, seconds), ylim=(len(rows) - 0.4, -0.6), xlabel="time (s)")
    axes.set_title(f"{title}  (orange: Moshi, blue: user, red: both)".strip())
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def turns(rows: dict[str, dict[str, float]]) -> Figure:
    """Seconds per minute of pause, gap and overlap, {conversation: what `turn_statistics` gives}, as upright bars."""
    kinds = ("pause", "gap", "overlap")
    figure, axes = plt.subplots(figsize=(WIDTH, 2.4))
    width = 0.8 / len(rows)
    for place, (name, found) in enumerate(rows.items()):
        x = [k + (place - (len(rows) - 1) / 2) * width for k in range(len(kinds))]
        axes.bar(x, [found[kind] for kind in kinds], width * 0.92, label=name, color=[*PALETTE, GREY][place])
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(ylabel="seconds per minute")
    axes.legend()
    return figure
