"""The card's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..config import SAMPLE_RATE
from ..lab.figures import BLUE, GREEN, GREY, INK, ORANGE, PALETTE, RED, SKY, WIDTH, style
from ..lab.plots import spectrogram
from ..mimi import MimiAudioCodec
from . import baselines
from .bars import SMALLEST_USAGE
from .clips import Clip
from .codec import through
from .systems import CODEC2, OPUS, ORIGINAL, UNQUANTISED

_COLOURS = {ORIGINAL: GREY, UNQUANTISED: GREEN, CODEC2: ORANGE, OPUS: RED}
_NAMES = {UNQUANTISED: "without codebooks", CODEC2: "Codec 2", OPUS: "Opus", ORIGINAL: "original"}
_LABELS = {"stoi": "STOI", "pesq": "PESQ", "mel": "mel distance, dB (low is good)", "mos": "MOS", "speaker": "speaker"}


def draw_figures(folder: Path, card: dict[str, Any], clips: list[Clip], codec: MimiAudioCodec) -> dict[str, str]:
    """Write the figures into `folder`; returns {file name: what is to be seen in it}."""
    figures = {"usage.png": ("how evenly every codebook is used", _usage(card))}
    if not card["quick"]:
        figures["words.png"] = ("word error rate by number of codebooks", _words(card))
    figures["measures.png"] = ("the measures by group, beside the other codecs", _measures(card))
    if card["probes"]:
        figures["probes.png"] = ("what each level knows of phone and speaker", _probes(card))
    figures["spectrogram.png"] = ("a clip before and after", _spectrograms(clips[0], codec, CODEC2 in _systems(card)))
    for name, (_, figure) in figures.items():
        figure.savefig(folder / name)
        plt.close(figure)
    return {name: what for name, (what, _) in figures.items()}


def _systems(card: dict[str, Any]) -> list[str]:
    return list(next(iter(card["groups"].values()))["systems"])


def _new(rows: int = 1, columns: int = 1, height: float = 2.6, **options: Any) -> tuple[Figure, Any]:
    style()
    return plt.subplots(rows, columns, figsize=(WIDTH, height), **options)


def _words(card: dict[str, Any]) -> Figure:
    """Every group's error rate with 1, 2, 4 … codebooks; dotted, the judge's on the original."""
    judge = card["judges"][0]
    figure, axes = _new(height=3.2)
    for (name, group), colour in zip(card["groups"].items(), PALETTE * 9, strict=False):
        points = {
            int(system.split()[1]): found["wer"][judge]
            for system, found in group["systems"].items()
            if system.startswith("codec ") and judge in found["wer"]
        }
        rates, low, high = ([100 * p[key] for p in points.values()] for key in ("rate", "low", "high"))
        axes.plot(list(points), rates, "o-", color=colour, label=name)
        axes.fill_between(list(points), low, high, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(100 * group["systems"][ORIGINAL]["wer"][judge]["rate"], color=colour, linestyle=":", linewidth=1)
    axes.set(xlabel="codebooks", ylabel="word error rate, %", ylim=(0, None), xticks=list(points))
    axes.set_title(f"Words that {judge} gets wrong (dotted: on the originals; shade: 90 %)")
    axes.legend()
    return figure


def _measures(card: dict[str, Any]) -> Figure:
    """One panel a measure, one cluster a group, one column a system."""
    best, judge = f"codec {card['quantizers']}", card["judges"][0]
    systems = [name for name in (ORIGINAL, best, UNQUANTISED, CODEC2, OPUS) if name in _systems(card)]
    panels = ["wer", *(key for key in _LABELS if not card["quick"] or key in ("stoi", "pesq", "mel"))]
    figure, grid = _new(len(panels), height=1.6 * len(panels), sharex=True)
    for axes, key in zip(grid, panels, strict=True):
        for place, system in enumerate(systems):
            found = [group["systems"][system] for group in card["groups"].values()]
            values = [100 * f["wer"][judge]["rate"] if key == "wer" else f.get(key) for f in found]
            at = np.arange(len(found)) + (place - (len(systems) - 1) / 2) * 0.16
            heights = [np.nan if value is None else value for value in values]
            axes.bar(at, heights, 0.15, color=_COLOURS.get(system, BLUE), label=_NAMES.get(system, "codec"))
        axes.set_title(f"word error rate, % ({judge}, low is good)" if key == "wer" else _LABELS[key])
    grid[-1].set_xticks(range(len(card["groups"])), card["groups"])
    figure.legend(*grid[0].get_legend_handles_labels(), ncols=len(systems), loc="outside upper right")
    return figure


def _usage(card: dict[str, Any]) -> Figure:
    figure, axes = _new()
    shares = [p / card["codebook_size"] for p in card["tokens"]["perplexity"]]
    levels = range(1, len(shares) + 1)
    axes.bar(levels, shares, color=[BLUE if share >= SMALLEST_USAGE else RED for share in shares])
    axes.axhline(SMALLEST_USAGE, color=INK, linestyle="--", linewidth=1)
    axes.set(xlabel="codebook", ylabel="perplexity / size", ylim=(0, 1), xticks=list(levels))
    axes.set_title("How evenly the codes are used (dashed: the bar)")
    return figure


def _probes(card: dict[str, Any]) -> Figure:
    probes, other = card["probes"], card.get("against")
    figure, panels = _new(1, 2, height=2.8, sharex=True)
    levels = range(1, card["quantizers"] + 1)
    for key, colour in (("phone", BLUE), ("speaker", ORANGE)):
        panels[0].plot(levels, probes[key], "o-", color=colour, label=key)
        panels[0].axhline(probes[f"{key}_chance"], color=colour, linestyle=":", linewidth=1)
        if other:
            panels[0].plot(levels, other[key], "o--", color=colour, alpha=0.5, label=f"{key}, {other['codec']}")
    panels[1].plot(levels, probes["abx"], "o-", color=BLUE, label="this codec")
    if other:
        panels[1].plot(levels, other["abx"], "o--", color=SKY, label=str(other["codec"]))
        panels[1].legend()
    panels[0].set(xlabel="codebook", ylabel="accuracy", ylim=(0, 1), xticks=list(levels))
    panels[0].set_title("Named from this token alone (dotted: chance)")
    panels[0].legend()
    panels[1].set(xlabel="codebooks", ylabel="ABX error", ylim=(0, 0.5))
    panels[1].set_title("Phones confused by the latent so far")
    return figure


def _spectrograms(clip: Clip, codec: MimiAudioCodec, with_codec2: bool) -> Figure:
    sounds = {"original": clip.wav, f"codec, {codec.n_quantizers} codebooks": through(codec, clip.wav)}
    if with_codec2:
        sounds[f"Codec 2, {baselines.CODEC2_BITS} bit/s"] = baselines.codec2(clip.wav)
    figure, grid = _new(len(sounds), height=1.7 * len(sounds), sharex=True)
    for axes, (name, wav) in zip(_row(grid), sounds.items(), strict=True):
        spectrogram(axes, wav, SAMPLE_RATE, beside=clip.wav)
        axes.set(title=name, xlabel="")
    axes.set_xlabel("time (s)")
    return figure


def _row(grid: Any) -> list[Axes]:
    return list(np.atleast_1d(grid))
