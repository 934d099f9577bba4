"""The pictures of the notebook on real time (12): a meter per frame, a waterfall of waits."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import BLUE, INK, ORANGE, PALETTE, SKY, WIDTH
from .plots import numbers, phrases, waveform

FRAME_MS = 80.0


def meter(
    stereo: torch.Tensor,
    parts: dict[str, Sequence[float]],
    title: str,
    words: Sequence[Sequence[tuple[str, tuple[float, float]]]] = ((), ()),
) -> Figure:
    """A conversation `[2, S]` at 24 kHz (Moshi, user) above the work that each of its frames was.

    Args:
        parts: {part: milliseconds per frame [T]}, stacked upon each other, with a line at 80 ms.
        words: Moshi's and the user's, each (word, (start, end)) in seconds.
    """
    frames = {len(times) for times in parts.values()}
    if len(frames) != 1:
        raise ValueError(f"every part needs a time for every frame; got {sorted(frames)} frames")
    figure, lanes = plt.subplots(3, 1, figsize=(WIDTH, 4.2), sharex=True, height_ratios=(1, 1, 2.6))
    for lane, voice, spoken, colour in zip(lanes, numbers(stereo), words, (ORANGE, BLUE), strict=False):
        waveform(lane, voice, 24_000, colour)
        for start, phrase in phrases(spoken):
            lane.text(start, 0.72, phrase, fontsize=7)
        lane.set(xlabel="", ylabel="Moshi" if colour == ORANGE else "user", ylim=(-0.75, 1.0), yticks=())
    seconds, bottom = (np.arange(frames.pop()) + 0.5) * FRAME_MS / 1000, 0.0
    for place, (part, times) in enumerate(parts.items()):
        lanes[2].bar(seconds, times, 0.066, bottom=bottom, color=PALETTE[place % len(PALETTE)], label=part)
        bottom = bottom + np.asarray(times)
    lanes[2].axhline(FRAME_MS, color=INK, linestyle="--", linewidth=1)
    lanes[2].text(0.02, FRAME_MS + 2, "80 ms: the next frame is here", fontsize=7.5)
    lanes[2].set(xlabel="time (s); a bar is a frame", ylabel="work (ms)", xlim=(0, stereo.shape[-1] / 24_000))
    lanes[2].set_ylim(0, max(115.0, 1.25 * bottom.max()))
    lanes[2].legend(ncols=len(parts), loc="upper right")
    lanes[0].set_title(title)
    return figure


def waterfall(axes: Axes, steps: dict[str, float], marks: dict[str, float] | None = None) -> None:
    """Waits that follow each other, {what: milliseconds}, each bar beginning where the last one ended.

    marks: {name: milliseconds}, dashed lines to compare with.
    """
    end = 0.0
    for place, ms in enumerate(steps.values()):
        axes.barh(place, ms, left=end, height=0.62, color=SKY if place % 2 else BLUE)
        end += ms
        axes.text(end, place, f" {end:.0f} ms", va="center", fontsize=8)
    for name, ms in (marks or {}).items():
        axes.axvline(ms, color=INK, linestyle="--", linewidth=1)
        axes.text(ms, -0.62, f" {name}", fontsize=7.5, va="center")
    axes.set_yticks(range(len(steps)), list(steps))
    axes.set(xlabel="milliseconds since your last sound began", ylim=(len(steps) - 0.4, -0.95))
    axes.set_xlim(0, 1.15 * max(end, *(marks or {"": 0}).values()))
    axes.tick_params(axis="y", length=0)
