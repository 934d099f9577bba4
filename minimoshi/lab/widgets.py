"""Two sliders. `explore` needs no kernel: all positions are drawn beforehand. `knob` asks the kernel, for any position.

Both show a picture of their default, so that a page without a kernel can be read.
"""

import html
import json
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from .figures import display_text, drawn, for_html, for_page, show

MOST_POSITIONS = 12

PAGE = """<div style="max-width:820px"><img src="{first}" alt="{alt}" style="width:100%">
<label style="font-size:0.9em">{name}: <input type="range" min="0" max="{last}" value="{default}"
style="width:50%;vertical-align:middle" oninput="
const box=this.closest('div'), img=box.querySelector('img');
const here=JSON.parse(box.querySelector('script').textContent)[this.value];
img.dataset.first=img.dataset.first||img.src; box.querySelector('output').textContent=here[0];
img.src=here[1]?'data:image/webp;base64,'+here[1]:img.dataset.first;">
<output>{label}</output></label>
<script type="application/json">{positions}</script></div>"""


def explore(
    draw: Callable[[Any], Figure],
    name: str,
    values: Sequence[Any],
    default: Any,
    alt: str,
    label: str = "{}",
) -> None:
    """Show `draw(default)` with a slider over `values`.

    The pictures are drawn now and kept in the page, so the slider works in a live notebook, in an exported
    page and without a kernel; where sliders are not shown, the default picture remains. In a live notebook
    `draw(value)` answers for any other value.

    Args:
        draw: value → figure. Called once per value.
        name: what the slider changes; `label` formats a value, such as "{} ms".
        values: at most twelve, in order; `default` is one of them.
        alt: what the default picture shows, in a sentence.
    """
    if default not in values or len(values) > MOST_POSITIONS:
        raise ValueError(
            f"default={default!r} must be one of {list(values)}, and there may be {MOST_POSITIONS} at most."
        )
    alt, at = " ".join(alt.split()), list(values).index(default)
    labels = [label.format(value) for value in values]
    pictures = [drawn(draw(value)) for value in values]
    others = [None if place == at else for_html(image) for place, image in enumerate(pictures)]
    page = PAGE.format(
        first="data:image/webp;base64," + for_html(pictures[at]),
        alt=html.escape(alt),
        name=html.escape(name),
        last=len(values) - 1,
        default=at,
        label=html.escape(labels[at]),
        positions=json.dumps(list(zip(labels, others, strict=True))),
    )
    kind, still = for_page(pictures[at])
    text = f"(slider) {name}: {', '.join(labels)}; shown: {labels[at]}"
    display({kind: still, "text/html": page, "text/plain": text}, metadata={kind: {"alt": alt}}, raw=True)
    display_text(alt)


def knob(
    draw: Callable[[int], Figure], name: str, low: int, high: int, default: int, alt: str, unit: str = ""
) -> ipywidgets.VBox:
    """Show `draw(default)`, and beneath it a slider from `low` to `high` that calls `draw` wherever it comes to rest.

    Returns the slider with its picture. A page that is only read shows the default and a line in the slider's place.
    """
    if not low <= default <= high:
        raise ValueError(f"default={default} must lie between {low} and {high}.")
    show(draw(default), alt)
    label = f"{name} ({unit})" if unit else name
    slider = ipywidgets.IntSlider(
        value=default,
        min=low,
        max=high,
        description=label,
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "60%"},
    )
    picture = ipywidgets.Output()

    def redraw(change: dict[str, Any]) -> None:
        kind, still = for_page(drawn(draw(change["new"])))
        picture.outputs = ({"output_type": "display_data", "data": {kind: still}, "metadata": {}},)

    slider.observe(redraw, names="value")
    box = ipywidgets.VBox([slider, picture])
    note = f"(slider) {label}: {low} to {high}; run this cell and turn it"
    display(box._repr_mimebundle_() | {"text/plain": note}, raw=True)
    return box
