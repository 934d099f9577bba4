"""Two maps: where we are in the course, and what the system is made of, drawn from the objects themselves."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from .figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, SKY, WIDTH, show
from .sound import samples_folder

# number, file name, what the room is called on the map
COURSE = [
    ("00", "00_start_here", "start\nhere"),
    ("01", "01_sound_as_tensors", "sound as\ntensors"),
    ("02", "02_helium", "Helium"),
    ("03", "03_streaming", "streaming"),
    ("04", "04_convolutional_codec", "convolutional\ncodec"),
    ("05", "05_vq_to_rvq", "VQ\nto RVQ"),
    ("06", "06_mimi", "Mimi"),
    ("07", "07_grids_of_tokens", "grids of\ntokens"),
    ("08", "08_hierarchical_generation", "hierarchical\ngeneration"),
    ("09", "09_inner_monologue", "inner\nmonologue"),
    ("10", "10_two_voices", "two voices\nat once"),
    ("11", "11_training_and_evaluation", "training,\nevaluation"),
    ("12", "12_real_time", "real time"),
    ("13", "13_from_mini_to_moshi", "from mini\nto Moshi"),
]
ANNEX = ("museum", "museum_of_bugs", "museum of bugs")  # beside the course: no lesson, and no place in its order
WINGS = [
    ("the whole", 0, 1, SKY),
    ("foundations", 1, 4, GREEN),
    ("the codec", 4, 7, BLUE),
    ("tokens that talk", 7, 11, PURPLE),
    ("made real", 11, 14, GREY),
]


def written() -> set[str]:
    """The numbers of the notebooks that the course's folder holds; all of them where there is no such folder."""
    try:
        folder = samples_folder().parent / "notebooks"
    except FileNotFoundError:
        folder = Path()
    return {room[0] for room in COURSE if (folder / f"{room[1]}.ipynb").is_file()} or {room[0] for room in COURSE}


def course_map(number: str) -> None:
    """The fourteen notebooks in their order, with notebook `number` (such as "01") lit and unwritten ones paler.

    For the annex a box of its own is lit beneath them.
    """
    annex = number == ANNEX[0]
    rooms = [*COURSE, ANNEX] if annex else COURSE
    names = [room[0] for room in rooms]
    if number not in names:
        raise ValueError(f"There is no notebook {number!r}; the course has {names[0]} to {names[-1]}.")
    there = written() | {number}
    figure, axes = plt.subplots(figsize=(WIDTH, 2.2 if annex else 1.75))
    for wing, first, last, colour in WINGS:
        row, column = divmod(first, 7)
        axes.text(column * 1.0, 1.62 - 1.35 * row, wing, fontsize=7.5, color=colour, weight="bold", va="bottom")
        if first < 7 < last:
            axes.text(0, 1.62 - 1.35, wing, fontsize=7.5, color=colour, weight="bold", va="bottom")
        for index in range(first, last):
            row, column = divmod(index, 7)
            lit = COURSE[index][0] == number
            edge, writing = (1.0, 1.0) if COURSE[index][0] in there else (0.35, 0.65)
            axes.add_patch(
                FancyBboxPatch(
                    (column + 0.03, 0.72 - 1.35 * row),
                    0.86,
                    0.84,
                    linewidth=1.2,
                    boxstyle="round,pad=0,rounding_size=0.08",
                    edgecolor=colour,
                    facecolor=ORANGE if lit else "white",
                    alpha=edge,
                )
            )
            axes.text(
                column + 0.46,
                1.38 - 1.35 * row,
                COURSE[index][0],
                fontsize=7,
                ha="center",
                va="center",
                color=INK if lit else GREY,
                alpha=writing,
            )
            axes.text(
                column + 0.46,
                1.02 - 1.35 * row,
                COURSE[index][2],
                fontsize=7.5,
                ha="center",
                va="center",
                color=INK,
                weight="bold" if lit else "normal",
                alpha=writing,
            )
    if annex:
        box(axes, 2.03, -1.2, 2.86, 0.4, f"annex: {ANNEX[2]}", ORANGE, ORANGE)
    axes.set(xlim=(-0.02, 7), ylim=(-1.3 if annex else -0.7, 1.95))
    axes.axis("off")
    here = rooms[names.index(number)][2].replace("\n", " ")
    paler = "; paler boxes are still being written" if len(there) < len(names) else ""
    where = "the annex" if annex else number
    show(figure, f"Map of the course, fourteen notebooks in two rows{paler}. You are in {where}, {here}.")


def millions(*modules: nn.Module) -> str:
    """The parameters of these modules together, written for a box of a picture."""
    count = sum(parameter.numel() for module in modules for parameter in module.parameters())
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:,}"


def box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    colour: str = PALE,
    edge: str = GREY,
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            linewidth=1.2,
            facecolor=colour,
            edgecolor=edge,
        )
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8)


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str = INK,
    text: str = "",
    bend: float = 0.0,
) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops=dict(
            arrowstyle="-|>",
            color=colour,
            linewidth=1.3,
            shrinkA=0,
            shrinkB=0,
            connectionstyle=f"arc3,rad={bend}",
        ),
    )
    if text:
        axes.text(
            (start[0] + end[0]) / 2,
            (start[1] + end[1]) / 2 + 0.07,
            text,
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=colour,
        )


def overview(model: nn.Module, title: str) -> Figure:
    """The whole system, drawn from a FullDuplexDialogueModel: its parts, their sizes, what flows between."""
    codec, generator, config = model.codec, model.generator, model.config
    helium, depth, mimi = config.helium, config.depth, config.mimi
    hear = millions(codec.encoder, codec.encoder_transformer, codec.downsample)
    speak = millions(codec.upsample, codec.decoder_transformer, codec.decoder)
    think = millions(generator.text_model, generator.audio_embedding)
    seconds = helium.context / mimi.frame_rate
    figure, axes = plt.subplots(figsize=(WIDTH, 3.7))
    box(axes, 0.0, 0.5, 1.7, 1.0, f"Mimi encoder\n{hear}\n{mimi.frame_size} samples in", "#D6E8F5", BLUE)
    box(
        axes,
        3.0,
        0.3,
        2.5,
        1.7,
        f"temporal transformer\n{think}\nwidth {helium.dim}, {helium.layers} layers\n"
        f"sees {helium.context} frames ({seconds:.0f} s)",
        "#D5EFE6",
        GREEN,
    )
    box(
        axes,
        3.0,
        2.9,
        2.5,
        1.0,
        f"depth transformer\n{millions(generator.audio_model)}\nwidth {depth.dim}, {depth.layers} layers, "
        f"{depth.dep_q} steps",
        "#F6E3EE",
        PURPLE,
    )
    box(axes, 6.8, 2.9, 1.8, 1.0, f"Mimi decoder\n{speak}\n{mimi.frame_size} samples out", "#D6E8F5", BLUE)
    box(
        axes,
        6.8,
        0.65,
        1.8,
        1.0,
        f"inner monologue\n1 of {helium.text_card:,}\ntext tokens",
        "#E9F3D9",
        GREEN,
    )
    arrow(axes, (-1.1, 1.0), (0.0, 1.0), BLUE, "user")
    arrow(axes, (1.7, 1.0), (3.0, 1.0), BLUE, f"{config.n_user} of {mimi.codebook_size:,}")
    arrow(axes, (4.25, 2.0), (4.25, 2.9), INK)
    axes.text(4.35, 2.45, f"context z [{helium.dim}]", fontsize=7.5, va="center")
    arrow(axes, (5.5, 1.15), (6.8, 1.15), GREEN, "text")
    arrow(axes, (6.8, 1.65), (5.5, 3.05), GREEN)
    arrow(axes, (5.5, 3.5), (6.8, 3.5), ORANGE, f"{config.dep_q} of {config.card:,}")
    arrow(axes, (8.6, 3.4), (9.7, 3.4), ORANGE, "Moshi")
    axes.plot([6.6, 6.6, 2.3, 2.3], [3.5, 4.35, 4.35, 1.65], color=ORANGE, linewidth=1.3)
    arrow(axes, (2.3, 1.65), (3.0, 1.65), ORANGE)
    axes.plot([7.7, 7.7, 2.3, 2.3], [0.65, -0.15, -0.15, 0.5], color=GREEN, linewidth=1.3)
    arrow(axes, (2.3, 0.5), (3.0, 0.5), GREEN)
    axes.text(4.4, 4.42, "Moshi hears its own tokens ...", fontsize=7.5, ha="center", color=ORANGE)
    axes.text(5.0, -0.4, "... and its own text again in the next frame", fontsize=7.5, ha="center", color=GREEN)
    axes.set(xlim=(-1.2, 9.8), ylim=(-0.5, 4.8), title=title)
    axes.axis("off")
    return figure
