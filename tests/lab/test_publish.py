"""Pages and slides: every cell is in them, links lead somewhere, slides begin where a thought begins."""

import re

import nbformat
import pytest

from minimoshi.lab import publish
from minimoshi.lab.build import notebooks_folder


@pytest.fixture
def course(tmp_path, monkeypatch):
    root = tmp_path / "course" / "notebooks"
    (root / "solutions").mkdir(parents=True)
    md, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    book = nbformat.v4.new_notebook(
        cells=[
            md("# Title"),
            md("Why. See [next](01_b.ipynb#there), [code](../minimoshi/config.py), [all](README.md), [w](https://w.org)."),
            code("1 + 1", outputs=[nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)]),
            md("## Part"),
            code("'under the heading'"),
            md("A new thought."),
            md("### Small"),
        ]
    )
    for name in ("00_a", "solutions/00_a", "01_b"):
        nbformat.write(book, root / f"{name}.ipynb")
    (root / "README.md").write_text("# The plan\n\n[first](00_a.ipynb)\n")
    (root / "glossary.md").write_text("# Words\n")
    monkeypatch.setattr(publish, "notebooks_folder", lambda: root)
    return root, book


def test_a_slide_begins_with_a_heading_or_a_new_thought(course):
    kinds = publish.slide_kinds(course[1])
    assert kinds == ["slide", "-", "-", "slide", "-", "subslide", "subslide"]


def test_links_lead_to_pages_and_to_the_repository(course, tmp_path):
    root, _ = course
    out = tmp_path / "out"
    written = publish.publish("html", out)
    assert {p.relative_to(out).as_posix() for p in written} == {
        "00_a.html", "01_b.html", "solutions/00_a.html", "index.html", "glossary.html",
    }  # fmt: skip
    page = (out / "00_a.html").read_text()
    links = re.findall(r'<a href="([^"]+)"', page)
    assert {"01_b.html#there", "index.html", "https://w.org"} <= set(links) and "under the heading" in page
    assert any(link.endswith("course/minimoshi/config.py") and link.startswith("../") for link in links)
    assert 'href="00_a.html"' in (out / "index.html").read_text()


def test_slides_take_reveal_from_a_folder(course, tmp_path):
    with pytest.raises(ValueError, match="dist/reveal.js"):
        publish.publish("slides", tmp_path / "s", reveal=str(tmp_path))
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "reveal.js").write_text("")
    publish.publish("slides", tmp_path / "s", reveal=str(tmp_path))
    page = (tmp_path / "s" / "00_a.html").read_text()
    assert tmp_path.as_uri() in page and page.count("<section>") >= 4


def test_every_notebook_of_the_course_makes_a_deck_of_slides_that_fit_a_screen():
    for path in sorted(notebooks_folder().glob("[0-9]*.ipynb")):
        book = nbformat.read(path, as_version=4)
        kinds = publish.slide_kinds(book)
        assert kinds[0] == "slide" and kinds.count("slide") >= 5
        on_one, longest = 0, 0
        for kind in kinds:
            on_one = 1 if kind != "-" else on_one + 1
            longest = max(longest, on_one)
        assert longest <= publish.FULL, f"{path.name} puts {longest} cells on one slide"
