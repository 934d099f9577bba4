"""The museum of bugs: the tools that know the notebooks know it too, and the course stays fourteen."""

from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

from minimoshi import lab
from minimoshi.lab import build, check, maps, publish
from minimoshi.lab.grade import find_notebooks, number_of


def test_it_is_built_like_a_lesson_and_is_none() -> None:
    assert build.sources(["museum"], Path("n")) == [Path("n/solutions/museum_of_bugs.ipynb")]
    assert len(maps.COURSE) == 14 and maps.ANNEX not in maps.COURSE


def test_its_map_lights_a_box_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(maps, "show", lambda figure, alt: (shown.append((figure, alt)), plt.close(figure)))
    lab.course_map("museum")
    lab.course_map("03")
    (annex, said), (lesson, _) = shown
    assert said.startswith("Map of the course, fourteen notebooks") and said.endswith("the annex, museum of bugs.")
    boxes = [len(figure.axes[0].patches) for figure in (annex, lesson)]
    assert boxes == [15, 14]


def test_it_is_graded(tmp_path: Path) -> None:
    path = tmp_path / "ada" / "notebooks" / "museum_of_bugs.ipynb"
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_notebooks([tmp_path]) == [path]
    assert number_of(path) == "museum" and number_of(Path("07_grids_of_tokens.ipynb")) == "07"
    assert sum(exercise.notebook == number_of(path) for exercise in check.EXERCISES.values()) == 10


def test_it_becomes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "notebooks"
    root.mkdir()
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    for name in ("00_a", "museum_of_bugs", "sketch"):
        nbformat.write(book, root / f"{name}.ipynb")
    monkeypatch.setattr(publish, "notebooks_folder", lambda: root)
    assert [path.name for path in publish.publish("html", tmp_path / "out")] == ["00_a.html", "museum_of_bugs.html"]
