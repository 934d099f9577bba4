"""The pictures of the notebooks on the codec (04 to 06), and a slider that is heard as well as seen."""

import html
import json
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..mimi import MimiAudioCodec
from .figures import BLUE, GREEN, GREY, INK, PALE, PALETTE, SKY, WIDTH, display_text, drawn, for_html, for_page
from .maps import arrow, box
from .plots import numbers
from .sound import as_wave, sound_base64

MARKS = "osD^vP"  # so that codes can be told apart without colour

LISTEN = """<div style="max-width:820px"><img src="{first}" alt="{alt}" style="width:100%">
<div style="display:flex;flex-wrap:wrap;align-items:center;gap:0.2em 1em;margin:0.2em 0.4em">
<audio controls preload="auto" style="height:2.4em" aria-label="{title}: {words}" src="{sound}"></audio>
<label style="font-size:0.9em">{name}: <input type="range" min="0" max="{last}" value="{default}"
style="width:14em;vertical-align:middle" oninput="
const box=this.closest('div').parentElement, img=box.querySelector('img'), player=box.querySelector('audio');
const here=JSON.parse(box.querySelector('script').textContent)[this.value];
img.dataset.first=img.dataset.first||img.src; player.dataset.first=player.dataset.first||player.src;
const at=player.currentTime, playing=!player.paused;
box.querySelector('output').textContent=here[0];
img.src=here[1]?'data:image/webp;base64,'+here[1]:img.dataset.first;
player.src=here[2]?'data:{kind};base64,'+here[2]:player.dataset.first;
player.currentTime=at; if(playing)player.play();">
<output>{label}</output></label>
<span style="font-size:0.9em"><b>{title}</b> “{words}” ({seconds:.2f} s, {rate} Hz)</span></div>
<script type="application/json">{positions}</script></div>"""


def listen(
    sounds: Sequence[torch.Tensor | np.ndarray],
    draw: Callable[[int], Figure],
    name: str,
    labels: Sequence[str],
    default: int,
    *,
    transcript: str,
    title: str,
    alt: str,
    sample_rate: int = 24_000,
) -> None:
    """Show a player, its picture, and a slider that changes both: the same moment of another sound, at once.

    All sounds and pictures are kept in the page, so it needs no kernel; where sliders are not shown, the default
    remains.

    Args:
        sounds: float `[S]`, `[1, S]` or `[1, 1, S]` in -1…1, all of one length.
        draw: the number of a sound → its picture.
        name: what the slider changes; `labels` are its positions, one per sound.
        default: the number of the sound that a page without sliders shows.
        transcript, title: as in `lab.play`.
        alt: what the default picture shows, in a sentence.
    """
    waves = [as_wave(sound) for sound in sounds]
    if len(labels) != len(waves) or not 0 <= default < len(waves):
        raise ValueError(
            f"expected a label per sound and a default among them, got {len(waves)} sounds, {len(labels)} labels and "
            f"default={default}."
        )
    if len({wave.shape for wave in waves}) > 1:
        raise ValueError("the sounds must be equally long, or the slider would jump in time.")
    alt, words = " ".join(alt.split()), " ".join(transcript.split())
    if not words:
        raise ValueError("Every sound needs a transcript; describe sounds without words in [brackets].")
    coded = [sound_base64(wave, sample_rate, compact=True) for wave in waves]
    pictures = [drawn(draw(place)) for place in range(len(waves))]
    positions = [
        (label, None, None) if place == default else (label, for_html(picture), data)
        for place, (label, picture, (_, data)) in enumerate(zip(labels, pictures, coded, strict=True))
    ]
    seconds = len(waves[default]) / sample_rate
    page = LISTEN.format(
        first="data:image/webp;base64," + for_html(pictures[default]),
        alt=html.escape(alt),
        sound=f"data:{coded[default][0]};base64,{coded[default][1]}",
        kind=coded[default][0],
        title=html.escape(title),
        words=html.escape(words),
        name=html.escape(name),
        label=html.escape(labels[default]),
        last=len(waves) - 1,
        default=default,
        seconds=seconds,
        rate=sample_rate,
        positions=json.dumps(positions),
    )
    kind, still = for_page(pictures[default])
    text = f"▶ {title}, slider over {name}, shown: {labels[default]}: “{words}” ({seconds:.2f} s, {sample_rate} Hz)"
    display({kind: still, "text/html": page, "text/plain": text}, metadata={kind: {"alt": alt}}, raw=True)
    display_text(alt)


def points_and_codes(
    axes: Axes, points: torch.Tensor, codes: torch.Tensor, title: str = "", span: tuple[float, float] = (-0.5, 9.0)
) -> None:
    """Points `[N, 2]`, each tied to the nearest of the codes `[V, 2]`; behind them, whose ground it is."""
    points, codes = numbers(points), numbers(codes)
    ground = np.stack(np.meshgrid(*[np.linspace(*span, 240)] * 2), -1)
    squares = ((ground[:, :, None] - codes) ** 2).sum(-1)
    colours: Any = [PALETTE[code % len(PALETTE)] for code in range(len(codes))]
    axes.contourf(*np.moveaxis(ground, -1, 0), squares.argmin(-1), np.arange(len(codes) + 1) - 0.5,
                  colors=colours, alpha=0.13)  # fmt: skip
    owner = ((points[:, None] - codes) ** 2).sum(-1).argmin(1)
    for point, code in zip(points, owner, strict=True):
        axes.plot(*zip(point, codes[code], strict=True), color=GREY, linewidth=0.9, zorder=2)
    for code, place in enumerate(codes):
        mark = MARKS[code % len(MARKS)]
        axes.scatter(*place, s=110, marker=mark, color=colours[code], edgecolor="white", zorder=3)
    axes.scatter(*points.T, s=18, color=INK, zorder=4)
    axes.set(xlim=span, ylim=span, aspect="equal", title=title)


def usage_bars(axes: Axes, shares: torch.Tensor, title: str = "", colour: str = PALETTE[0]) -> None:
    """How often each code was chosen, `shares` `[V]` that add up to 1, the busiest first; a line at an even share."""
    shares = np.sort(numbers(shares))[::-1]
    axes.bar(np.arange(len(shares)), 100 * shares, width=1.0, color=colour, edgecolor="white", linewidth=0.3)
    axes.axhline(100 / len(shares), color=INK, linewidth=1, linestyle="--")
    axes.set(xlim=(-1, len(shares)), xlabel="codes, the busiest first", ylabel="% of all frames", title=title)


def staircase(axes: Axes, curves: dict[str, tuple[float, Sequence[float]]]) -> None:
    """Share of the energy that is still missing against the bits paid, both from 0 levels on; logarithmic.

    `curves`: label → (bits a level, shares after 0, 1, 2… levels).
    """
    for place, (label, (bits, left)) in enumerate(curves.items()):
        shares = 100 * numbers(left)
        paid = bits * np.arange(len(shares))
        axes.step(paid, shares, where="post", color=PALETTE[place], marker=MARKS[place], markersize=4, label=label)
    axes.set(xlabel="bits for a frame", ylabel="% of the energy missing", yscale="log")
    axes.legend()


def token_pairs(
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]],
    voices: tuple[str, str],
    words: Sequence[tuple[str, tuple[float, float]]] = (),
) -> Figure:
    """Two token streams above each other, level by level: {level: (ids [F], ids [F])}; equal ids are coloured.

    words: (word, (start, end)) in seconds, written over the frames of 80 ms.
    """
    frames = len(next(iter(pairs.values()))[0])
    figure, axes = plt.subplots(figsize=(WIDTH, 0.75 + 0.56 * len(pairs)))
    for place, (level, both) in enumerate(pairs.items()):
        top = -2.7 * place
        equal = numbers(both[0]) == numbers(both[1])
        for row, (ids, voice) in enumerate(zip(both, voices, strict=True)):
            for frame, (token, same) in enumerate(zip(numbers(ids).tolist(), equal, strict=True)):
                colour = SKY if same else PALE
                axes.add_patch(Rectangle((frame + 0.03, top - row - 0.95), 0.94, 0.9, facecolor=colour))
                weight = "bold" if same else "normal"
                axes.text(frame + 0.5, top - row - 0.5, token, ha="center", va="center", fontsize=6.5, weight=weight)
            axes.text(-0.2, top - row - 0.5, voice, ha="right", va="center", fontsize=7.5)
        axes.text(-2.9, top - 1, level, ha="right", va="center", fontsize=8.5, weight="bold")
    for word, (start, end) in words:
        axes.text((start + end) / 0.16, 0.2, word, ha="center", va="bottom", fontsize=8)
    bottom = -2.7 * (len(pairs) - 1) - 2.1
    for frame in range(0, frames, 5):
        axes.text(frame + 0.5, bottom, frame, ha="center", va="top", fontsize=7, color=GREY)
    axes.text(-0.2, bottom, "frame", ha="right", va="top", fontsize=7, color=GREY)
    axes.set(xlim=(-6.2, frames), ylim=(bottom - 0.8, 1.2))
    axes.axis("off")
    return figure


def mimi(codec: MimiAudioCodec) -> Figure:
    """The whole codec drawn from the object: the way in above, the way back below, what only trains it in white."""
    config = codec.config
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    layers = f"transformer\n{config.layers} layers"
    slow, fast = f"{config.frame_rate:g} Hz", f"{config.frame_rate * config.downsample:g} Hz"
    acoustic = config.n_quantizers - 1
    for y, names in ((2.6, ("SEANet encoder", layers, "stride 2")), (0.2, ("SEANet decoder", layers, "stretch 2"))):
        for x, name, colour in zip((0.9, 3.4, 5.7), names, ("#D6E8F5", "#D5EFE6", "#D6E8F5"), strict=True):
            box(axes, x, y, 1.6 if x < 5 else 1.1, 0.9, name, colour, GREEN if "layers" in name else BLUE)
    box(axes, 7.9, 2.6, 2.0, 0.9, f"semantic\n1 level of {config.codebook_size}", "#FBE3C0", PALETTE[1])
    box(axes, 7.9, 1.3, 2.0, 0.9, f"acoustic\n{acoustic} levels of {config.codebook_size}", "#F6E3EE", PALETTE[4])
    box(axes, 7.9, 4.0, 2.0, 0.6, "teacher", "white")
    box(axes, 0.9, 1.35, 1.6, 0.6, "discriminator", "white")
    for start, end, text in (
        ((0.0, 3.05), (0.9, 3.05), "24 kHz"),
        ((2.5, 3.05), (3.4, 3.05), fast),
        ((5.0, 3.05), (5.7, 3.05), fast),
        ((6.8, 3.05), (7.9, 3.05), slow),
        ((8.8, 0.65), (6.8, 0.65), slow),
        ((5.7, 0.65), (5.0, 0.65), fast),
        ((3.4, 0.65), (2.5, 0.65), fast),
        ((0.9, 0.65), (0.0, 0.65), "24 kHz"),
        ((7.45, 1.75), (7.9, 1.75), ""),
        ((8.9, 1.3), (8.9, 0.77), ""),
        ((10.2, 0.65), (9.0, 0.65), ""),
    ):
        arrow(axes, start, end, text=text)
    axes.plot([7.45, 7.45], [3.05, 1.75], color=INK, linewidth=1.3)
    axes.plot([9.9, 10.2, 10.2], [3.05, 3.05, 0.65], color=INK, linewidth=1.3)
    axes.text(8.9, 0.65, "+", ha="center", va="center", fontsize=13)
    axes.plot([8.9, 8.9], [3.5, 4.0], color=GREY, linestyle="--", linewidth=1.2)
    axes.plot([0.1, 0.1, 0.9], [0.65, 1.65, 1.65], color=GREY, linestyle="--", linewidth=1.2)
    axes.set(xlim=(-0.1, 10.4), ylim=(0.0, 4.8))
    axes.axis("off")
    return figure
