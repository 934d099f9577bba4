"""One look for every figure of the course, and one way to put a figure on the page."""

import base64
import html
import io
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette: told apart by all common kinds of colour vision, and when printed grey.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, INK, GREY, PALE = "#CC79A7", "#56B4E9", "#F0E442", "#222222", "#8A8A8A", "#ECECEC"
PALETTE = [BLUE, ORANGE, GREEN, RED, PURPLE, SKY]
COLOUR_MAP = "magma"
WIDTH = 8.0


def style() -> None:
    """Set the course's figure style: fixed sizes, one palette, opaque on dark and light themes."""
    plt.rcdefaults()
    matplotlib.rcParams.update(
        {
            "figure.figsize": (WIDTH, 2.6),
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "savefig.facecolor": "white",
            "savefig.bbox": None,
            "axes.prop_cycle": plt.cycler(color=PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.labelsize": 9,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "legend.fontsize": 8,
            "legend.frameon": False,
            "font.family": "DejaVu Sans",
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": GREY,
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 1.4,
            "image.cmap": COLOUR_MAP,
            "image.aspect": "auto",
        }
    )


def drawn(figure: Figure) -> Image.Image:
    """The figure as pixels; the figure itself is closed."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    plt.close(figure)
    return Image.open(data).convert("RGB")


def for_page(image: Image.Image) -> tuple[str, str]:
    """(MIME type, base64) of a picture in the lighter of the two formats that every front end shows.

    Lines want a PNG of few colours, spectrograms a JPEG.
    """
    flat = encoded(image.quantize(64, dither=Image.Dither.NONE), format="PNG", optimize=True)
    shaded = encoded(image, format="JPEG", quality=76, optimize=True)
    return ("image/png", flat) if len(flat) < 1.2 * len(shaded) else ("image/jpeg", shaded)


def for_html(image: Image.Image) -> str:
    """base64 of a WebP picture, lighter still, for use inside HTML."""
    return encoded(image, format="WEBP", quality=60, method=6)


def encoded(image: Image.Image, **options: Any) -> str:
    data = io.BytesIO()
    image.save(data, **options)
    return base64.b64encode(data.getvalue()).decode()


def show(figure: Figure, alt: str) -> None:
    """Put a figure on the page, with `alt` as its alternative text and as the caption beneath it.

    The caption is text in the page, so it is read aloud by a screen reader, survives a front end that shows
    no pictures, and is what nbval compares.
    """
    alt = " ".join(alt.split())
    if len(alt) < 20:
        raise ValueError(f"alt={alt!r} is too short: say in a sentence what the figure shows.")
    kind, data = for_page(drawn(figure))
    display({kind: data, "text/plain": "(figure)"}, metadata={kind: {"alt": alt}}, raw=True)
    display_text(alt)


def display_text(text: str) -> None:
    """A small line of text under a picture."""
    look = "font-size:0.85em;opacity:0.8;max-width:55em;margin:0 0 0.6em 0.4em"
    display({"text/html": f'<div style="{look}">{html.escape(text)}</div>', "text/plain": text}, raw=True)
