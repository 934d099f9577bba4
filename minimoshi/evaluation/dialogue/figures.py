"""The card's figures, and the episodes they show as sound."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...config import SAMPLE_RATE
from ...data.stereo import Word, load_dialogue
from ...lab.figures import BLUE, GREEN, GREY, INK, ORANGE, PALETTE, PURPLE, RED, SKY, WIDTH, style
from ...lab.plots import waveform
from .bars import ACCURACY, LATENCY

if TYPE_CHECKING:
    from .report import Judged

SHOWN = 3  # good episodes, and as many bad ones
_TELLING = ("stop", "repeat", "recall", "murmur", "question", "sum", "manner")  # skills that are worth a picture
_VERDICT = {True: "as it should be", False: "not as it should be"}
_COLOURS = {"model": BLUE, "script": GREY, "cascade": ORANGE, "half-duplex": RED, "echo": PURPLE}
_BESIDE = (GREEN, SKY)  # models that were given names, in turn


def draw_figures(folder: Path, card: dict[str, Any], systems: dict[str, Judged]) -> dict[str, str]:
    """Write figures and episodes into `folder`; returns {file name: what is to be seen in it}."""
    style()
    figures = {}
    if card["systems"]["model"]["accuracy"]:
        figures["answers.png"] = ("right answers by skill and group", _answers(card))
    figures["latency.png"] = ("how long after the user Moshi begins", _latency(card))
    for name, right in chosen_episodes(systems["model"].rows):
        stereo, figure = _episode(systems["model"], name, right)
        figures[f"episodes/{name}.png"] = (f"{name}: {_VERDICT[right]}; listen to episodes/{name}.flac", figure)
        (folder / "episodes").mkdir(exist_ok=True)
        soundfile.write(folder / "episodes" / f"{name}.flac", stereo.T, SAMPLE_RATE, subtype="PCM_16")
    for name, (_, figure) in figures.items():
        figure.savefig(folder / name)
        plt.close(figure)
    return {name: what for name, (what, _) in figures.items()}


def chosen_episodes(rows: Sequence[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Up to SHOWN good and SHOWN bad episodes with their verdict, each about another skill."""
    verdicts: dict[str, list[bool]] = {}
    for row in rows:
        if row["group"] != "control":
            verdicts.setdefault(row["case"], []).append(row["right"])
    found = []
    for good in (True, False):
        own = [name for name, rights in verdicts.items() if all(rights) == good]
        first = {skill: name for skill in _TELLING for name in reversed(own) if name.split("-")[1] == skill}
        found += [(name, good) for name in list(first.values())[:SHOWN]]
    return found


def _answers(card: dict[str, Any]) -> Figure:
    accuracy = card["systems"]["model"]["accuracy"]
    skills = list(dict.fromkeys(skill for found in accuracy.values() for skill in found))
    figure, axes = plt.subplots(figsize=(WIDTH, 3.0))
    width = 0.8 / len(accuracy)
    for place, ((group, found), colour) in enumerate(zip(accuracy.items(), PALETTE, strict=False)):
        at = np.arange(len(skills)) + (place - (len(accuracy) - 1) / 2) * width
        heights = [100 * found[skill]["rate"] if skill in found else np.nan for skill in skills]
        axes.bar(at, heights, width, color=colour, label=group)
        if group in ACCURACY:
            axes.axhline(100 * ACCURACY[group], color=colour, linestyle=":", linewidth=1)
    axes.set_xticks(range(len(skills)), skills, rotation=30, ha="right")
    axes.set(ylabel="right answers, %", ylim=(0, 100))
    axes.set_title("What the judges heard (dotted: the bars)")
    axes.legend(ncols=len(accuracy), loc="lower right", bbox_to_anchor=(1, 1), handlelength=1, columnspacing=1)
    return figure


def _latency(card: dict[str, Any]) -> Figure:
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    edges, beside = np.arange(-0.4, 1.5 + 1e-9, 0.08), itertools.cycle(_BESIDE)
    for name, found in card["systems"].items():
        late = found["takeover"]["latencies"]
        if late and name != "codec":
            weights, colour = np.full(len(late), 100 / len(late)), _COLOURS.get(name) or next(beside)
            axes.hist(late, edges, weights=weights, histtype="step", color=colour, linewidth=1.6, label=name)
            axes.axvline(found["takeover"]["median"], color=colour, linestyle=":", linewidth=1)
    axes.axvline(LATENCY, color=INK, linestyle="--", linewidth=1)
    axes.set(xlabel="seconds from the user's last sound to Moshi's first", ylabel="% of turns")
    axes.set_title("Latency (dotted: medians; dashed: the bar)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    return figure


def _episode(judged: Judged, name: str, right: bool) -> tuple[np.ndarray, Figure]:
    """Both channels of an episode, float32 [2, S], and its swim lanes with the words."""
    dialogue = load_dialogue(judged.paths[name])
    moshi = judged.sound(name)
    user = dialogue.stereo[1, : len(moshi)]
    stereo = np.stack([moshi[: len(user)], user])
    figure, lanes = plt.subplots(2, 1, figsize=(WIDTH, 2.6), sharex=True, sharey=True)
    own = judged.spoken[name].words
    for axes, wav, words, label, colour in (
        (lanes[0], stereo[0], own, "Moshi", ORANGE),
        (lanes[1], stereo[1], dialogue.said_by("user"), "user", BLUE),
    ):
        waveform(axes, wav, SAMPLE_RATE, colour)
        _write_words(axes, words)
        axes.set(xlabel="", ylabel=label)
    lanes[1].set_xlabel("time (s)")
    lanes[0].set_title(f"{name}: {_VERDICT[right]}", color=GREEN if right else RED)
    return stereo, figure


def _write_words(axes: Axes, words: Sequence[Word]) -> None:
    """Every word where it begins, on two levels in turn."""
    for number, word in enumerate(words):
        height = 0.98 if number % 2 else 0.84
        # an untrained model says anything
        text = "".join(c if c.isascii() and c.isprintable() else "?" for c in word.text)
        axes.text(word.start, height, text, fontsize=6, va="top", transform=axes.get_xaxis_transform())
