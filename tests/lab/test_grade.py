"""Grading: hidden inputs, marks that survive a broken notebook, tables that open anywhere, progress that is noted."""

import csv
import json

import nbformat
import pytest

from minimoshi import cli
from minimoshi.lab import check
from minimoshi.lab.grade import Mark, find_notebooks, grade_notebook, student_of, write_marks
from minimoshi.start import PROGRESS


def notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(book, path)
    return path


def test_a_notebook_is_judged_whatever_fails_in_it(tmp_path):
    path = notebook(
        tmp_path / "ada" / "notebooks" / "07_grids_of_tokens.ipynb",
        "from minimoshi.lab import check",
        "raise ValueError('a slip of the student')",
        "check.count_steps(lambda *a: 0)",
    )
    marks = {mark.exercise: mark for mark in grade_notebook(path, seeds=[11, 12])}
    assert {mark.student for mark in marks.values()} == {"ada"} and set(marks) == {
        name for name, e in check.EXERCISES.items() if e.notebook == "07"
    }
    assert marks["count_steps"].state == "wrong" and marks["count_steps"].message
    assert marks["stretch"].state == "not tried yet" and "not reached" in marks["stretch"].message


def test_an_answer_must_hold_on_hidden_inputs(tmp_path, monkeypatch):
    seen = []

    def examine(answer, generator):
        """Right only where the seed is the student's."""
        seen.append(generator.initial_seed())
        if generator.initial_seed():
            raise check.core.Wrong("value: it was learnt by heart")
        return "fine"

    exercise = check.Exercise("07", examine, "no hint")
    told = tmp_path / "told"
    monkeypatch.setenv("MINIMOSHI_GRADING", json.dumps({"path": str(told), "seeds": [5, 6]}))
    exercise(1)
    verdict = json.loads(told.read_text())
    assert verdict["state"] == "wrong" and "by heart" in verdict["message"] and seen == [0, 5]


def test_notebooks_are_found_in_a_class_of_folders(tmp_path):
    mine = notebook(tmp_path / "bo" / "notebooks" / "01_sound_as_tensors.ipynb")
    notebook(tmp_path / "bo" / "notebooks" / "solutions" / "01_sound_as_tensors.ipynb")
    notebook(tmp_path / "bo" / "notebooks" / "sketches.ipynb")
    assert find_notebooks([tmp_path]) == [mine] and student_of(mine) == "bo"
    with pytest.raises(FileNotFoundError, match="minimoshi start"):
        find_notebooks([tmp_path / "nobody"])
    with pytest.raises(ValueError, match="notebook of the course"):
        find_notebooks([tmp_path / "bo" / "notebooks" / "sketches.ipynb"])


def test_marks_are_written_for_spreadsheets_and_programs(tmp_path):
    marks = [Mark("ada", "07", "back", "wrong", "=HYPERLINK(1)"), Mark("周", "07", "stretch", "right")]
    write_marks(tmp_path / "m.csv", marks, 3)
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text("utf-8-sig").splitlines()))
    assert [row["student"] for row in rows] == ["ada", "周"] and rows[0]["message"] == "'=HYPERLINK(1)"
    write_marks(tmp_path / "m.json", marks, 3)
    assert json.loads((tmp_path / "m.json").read_text("utf-8"))["seed"] == 3
    assert cli.main(["grade", str(tmp_path), "--out", str(tmp_path / "m.txt")]) == 2
    assert cli.main(["grade", str(tmp_path), "--out", str(tmp_path / "m.csv")]) == 2  # it exists


def test_a_success_is_noted_in_the_students_folder_once(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    exercise = check.Exercise("07", lambda answer, generator: "fine", "no hint")
    exercise(1)
    assert not (tmp_path / PROGRESS).exists()  # nobody has asked for it
    (tmp_path / PROGRESS).write_text('{"course": "0", "passed": {}}')
    exercise(1)
    noted = json.loads((tmp_path / PROGRESS).read_text())["passed"]
    assert [entry["notebook"] for entry in noted.values()] == ["07"]
    (tmp_path / PROGRESS).write_text("torn")
    exercise(1)
    assert "could not be noted" in capsys.readouterr().out and (tmp_path / PROGRESS).read_text() == "torn"
