"""The course as web pages and as slides, with its sounds: `make html`, `make slides`.

    python -m minimoshi.lab.publish html build/html
    python -m minimoshi.lab.publish slides build/slides --reveal FOLDER_OR_ADDRESS

Pages need nothing but a browser. Slides need reveal.js: by default from the network, with --reveal from a folder that
holds it (`npm pack reveal.js@4` and unpack; the folder is the one with `dist` in it).
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter, SlidesExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from tqdm import tqdm

from .build import notebooks_folder
from .maps import ANNEX

LINK = re.compile(r'href="(?!https?:|#|data:|mailto:)([^"]+)"')
HEADING = re.compile(r"^(#{1,3}) ", re.MULTILINE)
FULL = 4  # cells on one slide
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
td, th {{ padding: .3rem .6rem; border: 1px solid #8886; text-align: left }}
</style></head><body>{body}</body></html>"""


def slide_kinds(notebook: NotebookNode) -> list[str]:
    """Per cell "slide", "subslide" or "-" (goes on): a section is a column of slides, every text begins a new one."""
    kinds, after_heading, cells = [], False, 0
    for cell in notebook.cells:
        text = cell.cell_type == "markdown"
        heading = HEADING.match(cell.source) if text else None
        if heading and len(heading[1]) < 3:
            kinds.append("slide")
        else:
            kinds.append("subslide" if text and not after_heading or cells == FULL else "-")
        cells = cells + 1 if kinds[-1] == "-" else 1
        after_heading = heading is not None  # a heading alone is no slide: what follows belongs to it
    return kinds


def page_name(text: Path) -> str:
    return "index.html" if text.stem == "README" else f"{text.stem}.html"


def relinked(page: str, folder: Path, out: Path) -> str:
    """Links between notebooks lead to pages; links to files of the repository lead there from `out`."""
    pages = {readme.name: page_name(readme) for readme in folder.glob("*.md")}

    def target(match: re.Match) -> str:
        path, _, anchor = match[1].partition("#")
        anchor = f"#{anchor}" if anchor else ""
        if path.endswith(".ipynb"):
            return f'href="{path.removesuffix(".ipynb")}.html{anchor}"'
        if path in pages:
            return f'href="{pages[path]}{anchor}"'
        return f'href="{os.path.relpath(folder / path, out)}{anchor}"'

    return LINK.sub(target, page)


def publish(kind: str, out: Path, reveal: str | None = None) -> list[Path]:
    """Write a page for every notebook, solutions included, and index.html; returns their paths."""
    root = notebooks_folder()
    exporter = HTMLExporter(embed_images=True) if kind == "html" else SlidesExporter()
    if kind == "slides" and reveal:
        local = Path(reveal).expanduser()
        if local.exists() and not (local / "dist" / "reveal.js").exists():
            raise ValueError(f"{local} holds no dist/reveal.js; name the unpacked folder of reveal.js 4")
        exporter.reveal_url_prefix = local.resolve().as_uri() if local.exists() else reveal
    written = []
    paths = [path for name in ("[0-9][0-9]_*", ANNEX[1]) for path in sorted(root.rglob(f"{name}.ipynb"))]
    for path in tqdm(paths, desc=kind, unit="notebook"):
        notebook = nbformat.read(path, as_version=4)
        for cell, how in zip(notebook.cells, slide_kinds(notebook), strict=True):
            cell.metadata["slideshow"] = {"slide_type": how}
        body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
        target = out / path.relative_to(root).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(relinked(body, path.parent, target.parent), encoding="utf-8")
        written.append(target)
    for readme in sorted(root.glob("*.md")):
        source = readme.read_text(encoding="utf-8")
        text = PAGE.format(title=source.splitlines()[0].lstrip("# "), body=markdown2html(source))
        (out / page_name(readme)).write_text(relinked(text, root, out), encoding="utf-8")
        written.append(out / page_name(readme))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["html", "slides"])
    parser.add_argument("out", type=Path, metavar="FOLDER")
    parser.add_argument("--reveal", metavar="FOLDER_OR_ADDRESS", help="where reveal.js is (slides)")
    options = parser.parse_args()
    written = publish(options.kind, options.out, options.reveal)
    print(f"{len(written)} pages in {options.out}; begin with {options.out / 'index.html'}")


if __name__ == "__main__":
    main()
