"""The pictures of notebook 09: text under its own sound, words that can be moved, who may look at whom."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..config import SAMPLE_RATE
from .figures import GREEN, GREY, INK, ORANGE, PALE, RED, WIDTH, drawn, for_page, show
from .plots import spectrogram
from .plots_moshi import SHADES

FRAME = 0.08  # seconds
ACOUSTIC = (0, 1, 1)  # delays of a semantic and two acoustic rows
Words = list[tuple[str, tuple[float, float]]]


def text_under_sound(wav: torch.Tensor | np.ndarray, pieces: Sequence[str], title: str = "") -> Figure:
    """The spectrogram of a voice float [S] at 24 kHz above its text row [T]; "" is PAD, which is left empty.

    A line goes up from every token that begins a word, so that one sees what sounds there.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(WIDTH, 2.8), sharex=True, height_ratios=(5, 1))
    spectrogram(above, wav, SAMPLE_RATE, top_hz=8000)
    above.set(title=title, xlabel="")
    for frame, piece in enumerate(pieces):
        shade = PALE if piece in ("", "EPAD") else SHADES[1]
        below.add_patch(Rectangle((frame * FRAME, 0), FRAME * 0.94, 1, facecolor=shade, edgecolor="none"))
        size = 4.5 if piece == "EPAD" else 6.5
        below.text((frame + 0.5) * FRAME, 0.5, piece, ha="center", va="center", fontsize=size, rotation=90)
        if piece.startswith("▁"):
            above.axvline(frame * FRAME, color="white", linewidth=0.9, linestyle="--")
    below.set(xlim=(0, len(pieces) * FRAME), ylim=(0, 1), xlabel="time (s); a box is a frame of 80 ms")
    below.set_yticks([0.5], ["text"])
    below.tick_params(axis="y", length=0)
    below.spines[:].set_visible(False)
    return figure


def sight(lead: int, first: int = 7, length: int = 4, frames: int = 14) -> Figure:
    """The delayed grid of one word, `length` frames from frame `first`: its text token's place against its sound.

    lead: frames by which the text is ahead of the sound; negative: behind. Green is sound in the past of the token,
    which the token may rest on; orange is sound that comes with or after the token, and may rest on it.
    """
    late_text, late_sound = max(0, -lead), max(0, lead)
    token, delays = first + late_text, [late_text, *(late_sound + d for d in ACOUSTIC)]
    figure, axes = plt.subplots(figsize=(WIDTH, 2.3))
    for y, late in enumerate(delays):
        for column in range(late, late + frames):
            part = column - late - first
            shade = PALE
            if y and 0 <= part < length:
                shade = GREEN if column < token else ORANGE
                axes.text(column, y, part + 1, ha="center", va="center", fontsize=7, zorder=3)
            axes.add_patch(Rectangle((column - 0.46, y - 0.42), 0.92, 0.84, facecolor=shade, edgecolor="none"))
    axes.add_patch(Rectangle((token - 0.46, -0.42), 0.92, 0.84, facecolor="white", edgecolor=INK, linewidth=1.6))
    axes.text(token, 0, "word", ha="center", va="center", fontsize=7)
    axes.axvline(token - 0.5, color=RED, linewidth=1, linestyle="--")
    axes.text(token - 0.6, -0.65, "past of the word", ha="right", fontsize=7.5, color=RED)
    heard = min(max(late_text - max(delays[1:]), 0), length)
    frames_away = f"{abs(lead)} frame{'s' * (abs(lead) != 1)}"
    place = f"{frames_away} {'ahead' if lead > 0 else 'behind'}" if lead else "with the sound"
    title = f"text {place}: the word is chosen knowing {heard} of its {length} frames of sound"
    axes.set_yticks(range(len(delays)), ("text", "semantic", "acoustic 1", "acoustic 2"), fontsize=8)
    axes.set_xticks(range(0, frames + 6, 2))
    axes.set(
        xlim=(-0.6, frames + 5.6), ylim=(len(delays) - 0.4, -1.1), title=title, xlabel="column = step of the model"
    )
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    return figure


def drag_words(words: Words, draw: Callable[[Words], Figure], alt: str, latest: float = 2.0) -> ipywidgets.VBox:
    """Show `draw(words)`, and beneath it a slider per word that moves its start; the picture follows.

    A word keeps its length, and `draw` gets the words in the order of their starts. Returns the sliders with their
    picture. A page that is only read shows the words as given and a line in the sliders' place.

    Args:
        latest: the end of every slider, in seconds.
    """
    if not words or any(not 0 <= start <= latest for _, (start, _) in words):
        raise ValueError(f"words must start between 0 and {latest} s, got {words}")
    show(draw(words), alt)
    sliders = [
        ipywidgets.FloatSlider(
            value=start, min=0.0, max=latest, step=0.02, description=word, continuous_update=False, readout_format=".2f"
        )
        for word, (start, _) in words
    ]
    picture = ipywidgets.Output()

    def redraw(_: dict[str, Any]) -> None:
        moved = [
            (word, (slider.value, slider.value + end - start))
            for slider, (word, (start, end)) in zip(sliders, words, strict=True)
        ]
        kind, still = for_page(drawn(draw(sorted(moved, key=lambda timed: timed[1]))))
        picture.outputs = ({"output_type": "display_data", "data": {kind: still}, "metadata": {}},)

    for slider in sliders:
        slider.observe(redraw, names="value")
    box = ipywidgets.VBox([*sliders, picture])
    names = ", ".join(word for word, _ in words)
    note = f"(sliders) start of each word, 0 to {latest:g} s: {names}; run this cell and move them"
    display(box._repr_mimebundle_() | {"text/plain": note}, raw=True)
    return box


def sentence_grid(grid: torch.Tensor, words: Sequence[str], rows: Sequence[str], first_word: int) -> Figure:
    """A small grid int64 [K, T] of text and sound. A token from `first_word` on is written as its word."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.8 + 0.3 * len(grid)))
    shade = PALE
    for x, column in enumerate(grid.T.tolist()):
        token = column[0]
        if token >= first_word:
            shade, left = SHADES[(token - first_word) % (len(SHADES) - 1)], 4
            axes.text(x - 0.4, 0, words[token - first_word], va="center", fontsize=8, weight="bold")
        elif shade != PALE and not left:
            shade = PALE
        axes.add_patch(Rectangle((x - 0.46, -0.42), 0.92, 0.84, facecolor=PALE, edgecolor="none", zorder=0))
        if token == 0:
            axes.text(x, 0, "E", ha="center", va="center", fontsize=7, color=GREY)
        for y, code in enumerate(column[1:], 1):
            axes.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, facecolor=shade, edgecolor="none", zorder=0))
            axes.text(x, y, code, ha="center", va="center", fontsize=7)
        left = left - 1 if shade != PALE else 0
    axes.set_yticks(range(len(grid)), rows, fontsize=8)
    axes.set(xlim=(-0.6, grid.shape[1] - 0.4), ylim=(len(grid) - 0.4, -0.6), xlabel="frame")
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    return figure
