"""The pictures of notebook 11: losses over steps, recipes over seeds, and a report card against its bars."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from .figures import BLUE, GREEN, GREY, INK, ORANGE, PALETTE, RED, WIDTH

MARKS = "osD^vX"
FURTHEST = 3.0  # times the bar; what lies beyond is drawn at the edge


def curves(steps: Sequence[int], rows: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Losses in nats against steps, {name: one value per entry of `steps`}."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    for (name, values), mark, colour in zip(rows.items(), MARKS, PALETTE, strict=False):
        axes.plot(list(steps), values, f"{mark}-", color=colour, markersize=4, label=name)
    axes.set(xlabel="step", ylabel="loss (nats)", title=title, ylim=(0, None))
    axes.legend(ncols=2)
    return figure


def seeds(groups: Mapping[str, Sequence[Sequence[float]]], names: Sequence[str], unit: str) -> Figure:
    """Upright bars of means, {group: for each of `names` its values, one per seed}.

    With several seeds every one is a dot, and a line shows the standard deviation to either side of the mean.
    """
    if any(len(parts) != len(names) for parts in groups.values()):
        raise ValueError(f"every group needs {len(names)} lists of values, one for each of {', '.join(names)}")
    figure, axes = plt.subplots(figsize=(WIDTH, 2.7))
    width = 0.8 / len(names)
    for number, (name, colour) in enumerate(zip(names, (BLUE, ORANGE, GREEN), strict=False)):
        for x, parts in enumerate(groups.values()):
            values, place = np.asarray(parts[number], float), x + (number - (len(names) - 1) / 2) * width
            axes.bar(place, values.mean(), 0.92 * width, color=colour, alpha=0.75, label=None if x else name)
            if len(values) > 1:
                axes.errorbar(place, values.mean(), values.std(ddof=1), color=INK, capsize=4, linewidth=1.2)
                spread = place + width * np.linspace(-0.2, 0.2, len(values))
                axes.plot(spread, values, "o", color=INK, markersize=3)
            else:
                axes.text(place, values.mean(), f"{values.mean():.2f}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(groups)), groups)
    axes.set(ylabel=unit, ylim=(0, 1.18 * axes.get_ylim()[1]))
    axes.legend(ncols=len(names), loc="upper right")
    return figure


def gallery(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Small plots side by side, {letter: {"training": one loss per step, "held out": some, evenly spaced}}."""
    figure, panels = plt.subplots(1, len(runs), figsize=(WIDTH, 2.1), sharey=True)
    for axes, (letter, lines) in zip(np.atleast_1d(panels), runs.items(), strict=True):
        for (name, values), look in zip(lines.items(), ("-", "--"), strict=True):
            steps = np.linspace(0, len(lines["training"]), len(values) + 1)[1:]
            axes.plot(steps, values, look, color=BLUE if look == "-" else RED, label=name)
        axes.set(title=letter, xlabel="step", yscale="log")
    np.atleast_1d(panels)[0].set_ylabel("text loss (nats)")
    np.atleast_1d(panels)[0].legend(fontsize=7)
    return figure


def against_bars(bars: Sequence[Mapping[str, Any]]) -> Figure:
    """The bars of a report card as in card.json, each value divided by its limit; 1 is the bar itself.

    What was not measured (value None) has no dot. Values beyond three times the bar are drawn at the edge, with their
    number.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.24 * len(bars)))
    for y, bar in enumerate(bars):
        wanted = f"{bar['what']}  {'≤' if bar['at_most'] else '≥'} {bar['limit']:g}{bar['unit']}"
        axes.text(-0.05, y, wanted, ha="right", va="center", fontsize=8)
        if bar["value"] is None:
            continue
        place = min(bar["value"] / bar["limit"] if bar["limit"] else FURTHEST, FURTHEST)
        axes.plot([1, place], [y, y], color=GREY, linewidth=1)
        axes.plot(place, y, "o" if bar["passed"] else "X", color=GREEN if bar["passed"] else RED, markersize=7)
        axes.text(FURTHEST + 0.1, y, f"{bar['value']:.3g}{bar['unit']}", va="center", fontsize=8)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set(xlim=(-0.05, FURTHEST + 0.05), ylim=(len(bars) - 0.4, -0.6), xlabel="value divided by the bar")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure


def rates(rows: Mapping[str, tuple[float, float, float]], unit: str) -> Figure:
    """Shares with their intervals, {name: (rate, low, high)}, from 0 to 1."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.4 * len(rows)))
    for y, (rate, low, high) in enumerate(rows.values()):
        axes.plot([low, high], [y, y], color=BLUE, linewidth=3, alpha=0.5)
        axes.plot(rate, y, "o", color=BLUE)
        axes.text(high + 0.01, y, f"{rate:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlim=(0, 1.06), ylim=(len(rows) - 0.5, -0.5), xlabel=unit)
    axes.tick_params(axis="y", length=0)
    return figure
