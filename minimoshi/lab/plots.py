"""The pictures that come back in several notebooks; `lab.show` puts them on the page."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .figures import BLUE, GREY, INK, ORANGE, PALE, SKY, WIDTH

FLOOR_DB = -80.0


def numbers(values: torch.Tensor | np.ndarray | Sequence) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def waveform(
    axes: Axes, wav: torch.Tensor | np.ndarray, sample_rate: int, colour: str = BLUE, start: float = 0.0
) -> None:
    """Amplitude against seconds. `wav`: `[S]` or `[1, S]`. Long sounds are drawn as a range per pixel."""
    samples = numbers(wav).reshape(-1)
    seconds = start + np.arange(len(samples)) / sample_rate
    if len(samples) > 6_000:
        step = len(samples) // 1_500
        rows = samples[: len(samples) // step * step].reshape(-1, step)
        axes.fill_between(seconds[: len(rows) * step : step], rows.min(1), rows.max(1), color=colour, linewidth=0.4)
    else:
        axes.plot(seconds, samples, color=colour, linewidth=1.0)
    axes.set(xlim=(start, start + len(samples) / sample_rate), xlabel="time (s)", ylabel="amplitude")


def magnitudes(wav: torch.Tensor | np.ndarray, sample_rate: int, window_ms: float = 25.0) -> np.ndarray:
    """`[window // 2 + 1, T]`, Hann window, about 400 columns: a spectrogram to look at, not to compute with."""
    samples = torch.as_tensor(numbers(wav).reshape(-1).copy())
    window = max(16, round(sample_rate * window_ms / 1000))
    hop = max(1, min(window // 2, len(samples) // 400))
    padded = torch.nn.functional.pad(samples, (window // 2, window // 2))
    frames = padded.unfold(0, window, hop) * torch.hann_window(window)
    return torch.fft.rfft(frames).abs().T.numpy()


def spectrogram(
    axes: Axes,
    wav: torch.Tensor | np.ndarray,
    sample_rate: int,
    window_ms: float = 25.0,
    top_hz: float | None = None,
    beside: torch.Tensor | np.ndarray | None = None,
) -> None:
    """Frequency against time; brightness in decibels below the loudest point, down to -80 dB.

    Give the loudest of several sounds as `beside`, and they are drawn to the same scale.
    """
    loudest = max(magnitudes(wav if beside is None else beside, sample_rate, window_ms).max(), 1e-9)
    levels = np.maximum(magnitudes(wav, sample_rate, window_ms) / loudest, 10 ** (FLOOR_DB / 20))
    extent = (0, numbers(wav).size / sample_rate, 0, sample_rate / 2000)
    axes.imshow(20 * np.log10(levels), origin="lower", extent=extent, vmin=FLOOR_DB, vmax=0)
    axes.set(xlabel="time (s)", ylabel="kHz", ylim=(0, (top_hz or sample_rate / 2) / 1000))


def sound(wav: np.ndarray, sample_rate: int, title: str) -> Figure:
    """The picture beside a player: waveform over spectrogram; for stereo `[2, S]`, two swim lanes."""
    wav = numbers(wav)
    if wav.ndim == 2 and wav.shape[0] == 2:
        return swim_lanes(wav, sample_rate, title)
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 2.5), sharex=True, height_ratios=(2, 3))
    waveform(upper, wav, sample_rate)
    upper.set(title=title, xlabel="")
    spectrogram(lower, wav, sample_rate)
    return figure


def swim_lanes(
    wav: torch.Tensor | np.ndarray,
    sample_rate: int,
    title: str,
    names: Sequence[str] = ("Moshi (left)", "user (right)"),
) -> Figure:
    """Two voices that share one time axis `[2, S]`: who sounds when, and where they overlap."""
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 2.2), sharex=True, sharey=True)
    for lane, voice, name, colour in zip(axes, numbers(wav), names, (ORANGE, BLUE), strict=True):
        waveform(lane, voice, sample_rate, colour)
        lane.set(xlabel="", ylabel=name)
    axes[0].set_title(title)
    axes[1].set_xlabel("time (s)")
    return figure


def token_shades(grid: np.ndarray, pad_id: int | None) -> np.ndarray:
    """Ids → 0…1, neighbours far apart; NaN (left white) for missing tokens, and for `pad_id` in row 0."""
    shades = np.where(grid >= 0, (grid * 0.618034) % 1.0, np.nan)
    if pad_id is not None:
        shades[0, grid[0] == pad_id] = np.nan
    return shades


def token_grid(
    grid: torch.Tensor | np.ndarray,
    names: Sequence[str],
    title: str = "",
    *,
    first: int = 0,
    write: bool = True,
    pad_id: int | None = None,
) -> Figure:
    """Tokens as a grid `[K, T]`: a row per stream, a column per frame; equal ids have equal colours.

    Args:
        names: one per row.
        first: the number of the first frame drawn.
        write: write the ids into the cells; for a grid small enough to read.
        pad_id: the id in row 0 that is left white, for a text row that is mostly padding.
    """
    grid = numbers(grid)
    rows, columns = grid.shape
    if len(names) != rows:
        raise ValueError(f"{len(names)} names for a grid of {rows} rows.")
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.2 * rows))
    shades = token_shades(grid, pad_id)
    axes.imshow(shades, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    if write:
        for (row, column), shade in np.ndenumerate(shades):
            colour = "white" if shade < 0.6 else INK
            axes.text(column, row, grid[row, column], ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(range(rows), names, fontsize=7)
    axes.set_xticks(range(columns), range(first, first + columns))
    axes.set(xlabel="frame (80 ms each)", title=title)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


STREAMS = [
    "text",
    "Moshi semantic",
    *(f"Moshi acoustic {k}" for k in range(1, 8)),
    "user semantic",
    *(f"user acoustic {k}" for k in range(1, 8)),
]


def phrases(words: Sequence[tuple[str, tuple[float, float]]], gap: float = 0.5) -> list[tuple[float, str]]:
    """(start in seconds, words that follow each other without a gap)."""
    found: list[tuple[float, str]] = []
    silent_since = -math.inf
    for word, (start, end) in words:
        if start - silent_since > gap:
            found.append((start, word))
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]} {word}")
        silent_since = end
    return found


def conversation(
    stereo: torch.Tensor,
    grid: torch.Tensor,
    title: str,
    words: Sequence[Sequence[tuple[str, tuple[float, float]]]] = ((), ()),
    pad_id: int = 3,
) -> Figure:
    """A full-duplex dialogue: both voices as swim lanes above their token grid, on one time axis.

    Args:
        stereo: `[2, S]` at 24 kHz, left Moshi, right the user.
        grid: `[17, T]` in the order text, Moshi, user (`STREAMS`), aligned in time; negative: no token.
        words: Moshi's and the user's, each (word, (start, end)) in seconds, written over the lanes.
    """
    seconds = stereo.shape[-1] / 24_000
    figure, lanes = plt.subplots(3, 1, figsize=(WIDTH, 4.6), sharex=True, height_ratios=(1.2, 1.2, 4))
    for lane, voice, spoken, colour in zip(lanes, stereo, words, (ORANGE, BLUE), strict=False):
        waveform(lane, voice, 24_000, colour)
        for start, phrase in phrases(spoken):
            lane.text(min(start, seconds * (1 - 0.0066 * len(phrase))), 0.72, phrase, fontsize=7)
        lane.set(xlabel="", ylabel="Moshi" if colour == ORANGE else "user", ylim=(-0.75, 1.0), yticks=())
    shades = token_shades(numbers(grid), pad_id)
    extent = (0, grid.shape[1] * 0.08, len(STREAMS) - 0.5, -0.5)
    lanes[2].imshow(shades, cmap="viridis", vmin=0, vmax=1, interpolation="nearest", extent=extent)
    lanes[2].hlines([0.5, 8.5], 0, seconds, color="white", linewidth=3)
    lanes[2].set_yticks(range(len(STREAMS)), STREAMS, fontsize=6.5)
    lanes[2].set(xlabel="time (s); a column is a frame of 80 ms", xlim=(0, seconds))
    lanes[2].tick_params(axis="y", length=0)
    lanes[0].set_title(title)
    return figure


def heat_map(
    axes: Axes,
    values: torch.Tensor | np.ndarray,
    x: str,
    y: str,
    title: str = "",
    label: str | None = None,
    **limits: float,
) -> None:
    """A matrix as colours, with a colour bar when `label` says in which unit."""
    picture = axes.imshow(numbers(values), origin="upper", interpolation="nearest", **limits)
    axes.set(xlabel=x, ylabel=y, title=title)
    if label is not None:
        axes.figure.colorbar(picture, ax=axes, label=label, pad=0.01)


def cells(axes: Axes, values: Sequence, y: float, colours: Sequence[str] | str = PALE, label: str = "") -> None:
    """A row of boxes with a number in each: a tensor small enough to read. Make `axes` `bare` afterwards."""
    colours = [colours] * len(values) if isinstance(colours, str) else colours
    for index, (value, colour) in enumerate(zip(numbers(values).tolist(), colours, strict=True)):
        axes.add_patch(Rectangle((index, y), 0.92, 0.8, facecolor=colour, edgecolor=GREY, linewidth=0.6))
        axes.text(index + 0.46, y + 0.4, f"{value:g}", ha="center", va="center", fontsize=9)
    axes.text(-0.2, y + 0.4, label, ha="right", va="center", fontsize=9)


def cell_rows(rows: dict[str, tuple[Sequence, Sequence[str] | str]], cut: int | None = None) -> Figure:
    """Rows of `cells`, {label: (values, colours)}, from the top down; a dashed line before column `cut`."""
    width = max(len(values) for values, _ in rows.values())
    figure, axes = plt.subplots(figsize=(WIDTH, 0.3 + 0.55 * len(rows)))
    for place, (label, (values, colours)) in enumerate(rows.items()):
        cells(axes, values, 1.1 * (len(rows) - 1 - place), colours, label)
    if cut is not None:
        axes.vlines(cut - 0.04, -0.2, 1.1 * len(rows), color=INK, linestyle="--", linewidth=1)
    bare(axes, (-3, max(width, 8) + 0.2), (-0.25, 1.1 * len(rows)))
    return figure


def bare(axes: Axes, xlim: tuple[float, float], ylim: tuple[float, float]) -> None:
    """Axes as a blank sheet of paper."""
    axes.set(xlim=xlim, ylim=ylim)
    axes.axis("off")


def bars(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float],
    unit: str,
    highlight: int | None = None,
    log: bool = False,
    digits: str = "{:,.1f}",
) -> None:
    """Horizontal bars with their values written at the end; `highlight` is the bar in the lit colour."""
    places = range(len(values))[::-1]
    colours = [ORANGE if index == highlight else SKY for index in range(len(values))]
    axes.barh(places, values, color=colours, height=0.7)
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, " " + digits.format(value), va="center", fontsize=8)
    axes.set_yticks(places, names)
    axes.set(xlabel=unit, xscale="log" if log else "linear")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
