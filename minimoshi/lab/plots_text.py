"""The pictures of notebook 02, on text."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .figures import BLUE, GREY, INK, ORANGE, PALE, PALETTE, SKY, WIDTH
from .plots import bare

PIECE_COLOURS = ("#CCE3F2", "#FCE8C4", "#D5EFE6")


def pieces(rows: Sequence[tuple[Sequence[str], Sequence[int]]]) -> Figure:
    """Texts cut into pieces, one above the other: boxes as wide as their letters, the ids beneath them."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.2 + 0.62 * len(rows)))
    widest = 0.0
    for place, (names, ids) in enumerate(rows):
        x, y = 0.0, 1.6 * (len(rows) - 1 - place)
        for n, (name, number) in enumerate(zip(names, ids, strict=True)):
            width = max(len(name), len(str(number))) + 0.9
            colour = PIECE_COLOURS[n % len(PIECE_COLOURS)]
            axes.add_patch(Rectangle((x, y), width - 0.2, 0.85, facecolor=colour, edgecolor=GREY, linewidth=0.6))
            middle = x + width / 2 - 0.1
            axes.text(middle, y + 0.42, name, ha="center", va="center", fontsize=8.5, family="monospace")
            axes.text(middle, y - 0.12, number, ha="center", va="top", fontsize=7, color=INK)
            x += width
        widest = max(widest, x)
    bare(axes, (-0.2, max(widest, 60)), (-0.6, 1.6 * len(rows) - 0.5))
    return figure


def beside_lines(axes: Axes, steps: Sequence[int], values: Sequence[float], lines: Mapping[str, float]) -> None:
    """A perplexity that falls, on a logarithmic axis, beside those of models that do not learn: {name: value}."""
    axes.plot(steps, values, "o-", color=BLUE, markersize=3)
    for value in lines.values():
        axes.axhline(value, color=GREY, linewidth=0.9, linestyle="--")
    for name, value in lines.items():
        axes.text(steps[-1], value, f"{name}, {value:.3g}", ha="right", va="bottom", fontsize=8)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= 1.1 * max(values)]
    axes.set(xlabel="steps of training", ylabel="perplexity per word", yscale="log")
    axes.minorticks_off()
    axes.set_yticks(ticks, [f"{tick}" for tick in ticks])


def stacked(axes: Axes, rows: Mapping[str, Mapping[str, int]], unit: str) -> None:
    """Horizontal bars made of parts: {row: {part: count}}; a part has one colour, written once above."""
    parts = list(dict.fromkeys(part for counts in rows.values() for part in counts))
    colours = dict(zip(parts, [BLUE, ORANGE, *PALETTE[2:], PALE, SKY], strict=False))
    for place, counts in enumerate(rows.values()):
        left = 0
        for part in parts:
            axes.barh(-place, counts.get(part, 0), left=left, color=colours[part], label=None if place else part)
            left += counts.get(part, 0)
        axes.text(left, -place, f" {left:,}", va="center", fontsize=8)
    axes.set_yticks([-place for place in range(len(rows))], list(rows))
    axes.set(xlabel=unit)
    axes.legend(ncols=len(parts), loc="lower left", bbox_to_anchor=(0, 0.98), columnspacing=1.0)
