"""The pictures of the notebooks on grids of tokens and on hierarchical generation (07 and 08)."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..config import DepthConfig
from .figures import GREEN, GREY, INK, ORANGE, PALE, PALETTE, PURPLE, WIDTH
from .maps import arrow, box
from .plots import numbers

# pale versions of the palette, on which dark numbers can be read; the order tells neighbours apart
SHADES = ("#CCE3F2", "#FCE8C4", "#D5EFE6", "#F6E3EE", "#FBDCCB", "#E3E3E3")


LETTERS = 5  # of a word that fit into a box at full size; longer ones are written smaller


def boxes(
    axes: Axes,
    values: torch.Tensor | np.ndarray | Sequence[Sequence],
    colours: Sequence[Sequence[str]],
    names: Sequence[str] = (),
    *,
    first: int = 0,
    size: float = 7.0,
) -> None:
    """A small grid [K, T] as boxes with something written in each: numbers or words, "" for nothing.

    Args:
        colours: one for each box; "" leaves the place empty.
        names: one per row, written at the left.
        first: the number of the first column.
        size: of the writing, in points; long words are smaller.
    """
    rows = [list(row) for row in (numbers(values).tolist() if not isinstance(values, (list, tuple)) else values)]
    if [len(row) for row in rows] != [len(row) for row in colours]:
        raise ValueError("colours must be as many as values, row by row")
    if names and len(names) != len(rows):
        raise ValueError(f"{len(names)} names for a grid of {len(rows)} rows.")
    for y, (row, shades) in enumerate(zip(rows, colours, strict=True)):
        for x, (value, shade) in enumerate(zip(row, shades, strict=True)):
            if shade:
                axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor=shade, edgecolor="none"))
                fitting = size * min(1, LETTERS / max(1, len(str(value))))
                axes.text(x, y, value, ha="center", va="center", fontsize=fitting, color=INK)
    columns = max(len(row) for row in rows)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    step = max(1, columns // 24)
    axes.set_xticks(range(0, columns, step), range(first, first + columns, step), fontsize=7)
    axes.set(xlim=(-0.6, columns - 0.4), ylim=(len(rows) - 0.4, -0.6))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def by_frame(frames: torch.Tensor | np.ndarray) -> list[list[str]]:
    """Colours for a grid of frame numbers int [K, T]: one colour per frame, none where negative."""
    return [[SHADES[f % len(SHADES)] if f >= 0 else "" for f in row] for row in numbers(frames).tolist()]


def layouts(grids: dict[str, torch.Tensor | np.ndarray], names: Sequence[str]) -> Figure:
    """The same frames in several layouts, {title: number of the frame whose token stands there [Q, steps]}.

    A negative number is an empty place. All are drawn to one scale: a column is a step of the model.
    """
    widest = max(np.shape(grid)[1] for grid in grids.values())
    figure, axes = plt.subplots(len(grids), 1, figsize=(WIDTH, 1.15 + 0.36 * len(names) * len(grids)))
    for place, (title, grid) in zip(np.atleast_1d(axes), grids.items(), strict=True):
        frames = numbers(grid)
        written = [["" if f < 0 else f for f in row] for row in frames.tolist()]
        boxes(place, written, by_frame(frames), names)
        place.set(title=title, xlim=(-0.6, widest - 0.4))
    np.atleast_1d(axes)[-1].set_xlabel("step of the model")
    return figure


def monologue(
    words: Sequence[tuple[str, tuple[float, float]]], pieces: Sequence[str], first: int = 0, seconds: float = 0.08
) -> Figure:
    """Words at their times above the text row [T] that they become, written as pieces; "" is PAD.

    first: the number of the first frame in `pieces`. Words or parts of words outside are not drawn.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 1.7))
    colours = [PALE] * len(pieces)
    for number, (word, (start, end)) in enumerate(words):
        begin = int(start / seconds + 1e-3) - first
        left, right = (min(max(t / seconds - first, 0), len(pieces)) - 0.5 for t in (start, end))
        if right <= left:
            continue
        shade = SHADES[number % (len(SHADES) - 1)]
        axes.add_patch(Rectangle((left, -1.6), right - left, 0.8, facecolor=shade, edgecolor=GREY, linewidth=0.6))
        axes.text((left + right) / 2, -1.2, word, ha="center", va="center", fontsize=8)
        for place in range(max(0, begin), len(pieces)):
            colours[place] = PALE if pieces[place] in ("", "EPAD") else shade
        if begin >= 0:
            axes.plot([left, begin - 0.46], [-0.8, -0.44], color=GREY, linewidth=0.7)
    boxes(axes, [list(pieces)], [colours], ["text row"], first=first, size=6.5)
    axes.set(ylim=(0.6, -1.75), xlabel="frame (80 ms each)")
    return figure


def lead(words: Sequence[tuple[str, tuple[float, float]]], modes: dict[str, tuple[int, int]], frames: int) -> Figure:
    """One utterance's text and sound in several layouts, {title: (delay of the text, delay of the sound)} in frames.

    A word has one colour in both rows, so that one sees which row is ahead.
    """
    longest = max(max(pair) for pair in modes.values())
    figure, axes = plt.subplots(len(modes), 1, figsize=(WIDTH, 0.4 + 0.85 * len(modes)), sharex=True)
    for place, (title, delays) in zip(np.atleast_1d(axes), modes.items(), strict=True):
        for y, late in enumerate(delays):
            place.add_patch(Rectangle((late, y - 0.4), frames, 0.8, facecolor=PALE, edgecolor="none"))
            for number, (word, (start, end)) in enumerate(words):
                x, width = late + 12.5 * start, 12.5 * (end - start)
                shade = SHADES[number % (len(SHADES) - 1)]
                place.add_patch(Rectangle((x, y - 0.4), width, 0.8, facecolor=shade, edgecolor=GREY, linewidth=0.5))
                place.text(x + width / 2, y, word, ha="center", va="center", fontsize=5.5)
        place.set_yticks((0, 1), ("text", "sound"), fontsize=8)
        place.set(xlim=(0, frames + longest), ylim=(1.5, -0.5), title=title)
        place.tick_params(axis="y", length=0)
        place.spines[["left", "bottom"]].set_visible(False)
    np.atleast_1d(axes)[-1].set_xlabel("column of the grid = step of the model")
    return figure


def unrolled(config: DepthConfig, drawn: int = 4) -> Figure:
    """One time step unrolled: z goes to every step of the depth transformer, each code to the next step."""
    names = ["semantic", *(f"acoustic {k}" for k in range(1, config.dep_q))]
    shown = [*range(min(drawn - 1, config.dep_q - 1)), config.dep_q - 1]
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    box(axes, 0.1, 0.1, 9.6, 0.6, f"temporal transformer: context z [{config.input_dim}]", "#D5EFE6", GREEN)
    for place, k in enumerate(shown):
        x = 0.3 + 2.5 * place
        box(axes, x, 1.7, 1.6, 0.9, f"depth step {k}\nweights {config.weight_schedule[k]}", "#F6E3EE", PURPLE)
        box(axes, x, 3.5, 1.6, 0.6, names[k], "#FBE3C0", ORANGE)
        arrow(axes, (x + 1.15, 0.7), (x + 1.15, 1.7))
        axes.text(x + 1.22, 1.2, f"$W_{k} z$", fontsize=8, va="center")
        arrow(axes, (x + 0.8, 2.6), (x + 0.8, 3.5))
        axes.text(x + 0.88, 3.05, f"1 of {config.card}", fontsize=7, va="center")
        told = "text\ntoken" if k == 0 else ""
        axes.text(x - 0.1, 1.05, told, fontsize=7.5, va="center", ha="left")
        if k == 0:
            arrow(axes, (x + 0.45, 1.2), (x + 0.45, 1.7), GREEN)
        if place + 1 < len(shown):
            gap = shown[place + 1] > k + 1
            axes.plot([x + 1.6, x + 2.0, x + 2.0], [3.8, 3.8, 2.15], color=ORANGE, linewidth=1.3)
            arrow(axes, (x + 2.0, 2.15), (x + 2.5, 2.15), ORANGE)
            if gap:
                axes.text(x + 2.05, 3.0, "…", fontsize=14, ha="center", va="center", backgroundcolor="white")
    axes.set(xlim=(0, 0.3 + 2.5 * len(shown)), ylim=(0, 4.3))
    axes.axis("off")
    return figure


def paired_bars(axes: Axes, names: Sequence[str], values: dict[str, Sequence[float]], unit: str) -> None:
    """Groups of upright bars, {label: a value per name}."""
    width = 0.8 / len(values)
    for place, (label, heights) in enumerate(values.items()):
        x = np.arange(len(names)) + (place - (len(values) - 1) / 2) * width
        axes.bar(x, heights, width * 0.94, label=label, color=PALETTE[place])
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    axes.set(ylabel=unit)
    axes.legend()
