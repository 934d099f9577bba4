"""Student notebooks are made from solution notebooks; nothing of a solution may leak, nothing else may change."""

import re
from pathlib import Path

import nbformat
import pytest

from minimoshi.lab import build

TEXT = """%% md note [solution-only]
Only for teachers.

%% md title
# A page

| reading | 999 s on one core |

See [the table](../README.md).

%% code task [exercise]
def double(x):
    # BEGIN SOLUTION: return ...
    secret = 2 * x
    return secret
    # END SOLUTION


# BEGIN SOLUTION: letter = ...
letter = "secret"
# END SOLUTION

%% code verdict [check]
print("seen:", double(21) if double(21) is not ... else "nothing")
"""


def test_text_and_back() -> None:
    notebook = build.from_text(TEXT)
    assert [cell.id for cell in notebook.cells] == ["note", "title", "task", "verdict"]
    assert build.to_text(notebook) == TEXT


@pytest.mark.parametrize(
    ("text", "said"),
    [("%% md A\nx", "should be"), ("%% markdown a\nx", "should be"), ("%% md a\nx\n\n%% md a\ny", "come twice: a")],
)
def test_bad_text_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build.from_text(text)


def test_the_student_gets_stubs_and_expected_output() -> None:
    solution = build.from_text(TEXT)
    solution.cells[3].outputs = [nbformat.v4.new_output("stream", name="stdout", text="seen: 42\n")]
    student = build.student_version(solution)
    written = build.to_text(student)
    assert "secret" not in written and "teachers" not in written
    assert "def double(x):\n    return ...  # your code\n" in written and "letter = ...  # your code" in written
    assert "(README.md)" in written
    assert student.cells[-1].id == "verdict-expected" and "seen: 42" in student.cells[-1].source


def test_build_runs_both_and_check_notices_a_change(tmp_path: Path) -> None:
    path = tmp_path / "solutions" / "page.ipynb"
    build.write(build.from_text(TEXT), path)
    build.build(path)
    solution, student = nbformat.read(path, 4), nbformat.read(tmp_path / "page.ipynb", 4)
    assert build.printed(solution.cells[3]) == "seen: 42"
    assert build.printed(student.cells[2]) == "seen: nothing"
    assert re.search(r"\b\d+ s on one core", solution.cells[1].source)
    assert "999 s" not in solution.cells[1].source
    assert build.same(path)
    student.cells[0].source += " edited"
    nbformat.write(student, tmp_path / "page.ipynb")
    assert not build.same(path)


def test_unknown_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no notebook 99"):
        build.sources(["99"], Path())
