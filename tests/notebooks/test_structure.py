"""Every notebook keeps to the skeleton of the course: a reader who knows one finds the way in all."""

import base64
import html
import inspect
import io
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import soundfile

from minimoshi.lab import build, museum
from minimoshi.lab.maps import ANNEX, COURSE
from tests.notebooks import seconds

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
STUDENTS = sorted(NOTEBOOKS.glob("*.ipynb"))
BOTH = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in SOLUTIONS + STUDENTS]
ONE = [pytest.param(path, id=path.stem) for path in SOLUTIONS]
LESSONS = [pytest.param(path, id=path.stem) for path in SOLUTIONS if path.stem != ANNEX[1]]
MUSEUM = NOTEBOOKS / "solutions" / f"{ANNEX[1]}.ipynb"

MOST_BYTES = 1_000_000
CARD = r"\*Difficulty [●○]{3} · \d+ minutes · hint: .+\*"
PLACES = re.compile(r"/(?:home|Users|work|tmp|root)/|https?://(?!arxiv\.org)")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def prose(notebook: nbformat.NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code(notebook) for output in cell.outputs]


def section(text: str, title: str) -> str:
    """From the heading `## title…` to the next heading of its rank."""
    found = re.search(rf"^## {title}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section “{title}”"
    return found.group()


def test_the_notebooks_are_the_courses_and_every_one_has_its_solutions() -> None:
    known = [name for _, name, _ in [*COURSE, ANNEX]]
    assert SOLUTIONS and [path.name for path in SOLUTIONS] == [path.name for path in STUDENTS]
    assert all(path.stem in known for path in SOLUTIONS)


@pytest.mark.parametrize("path", ONE)
def test_the_student_notebook_is_made_from_its_solutions(path: Path) -> None:
    assert build.same(path), "run: python -m minimoshi.lab.build"


@pytest.mark.parametrize("path", BOTH)
def test_it_was_run_from_top_to_bottom_without_a_complaint(path: Path) -> None:
    notebook = read(path)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    kinds = {output.output_type for output in outputs(notebook)}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert all(output.name == "stdout" for output in outputs(notebook) if output.output_type == "stream")
    assert path.stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("path", LESSONS)
def test_the_head_states_goals_times_and_the_place_in_the_paper(path: Path) -> None:
    notebook = read(path)
    head = next(cell.source for cell in notebook.cells if cell.source.startswith("# "))
    assert re.match(rf"# {path.stem[:2]} · \S", head)
    goals = re.findall(r"^\d\. .*", head, re.MULTILINE)
    assert 3 <= len(goals) <= 5
    for goal in goals:
        assert re.search(r"\*\*\w+\*\*", goal), f"no verb in bold: {goal}"
        assert re.search(r"\(exercise \d|\(section ", goal), f"not tied to an exercise: {goal}"
    assert len(re.findall(r"\b\d+ minutes\b", head)) == 2
    assert re.search(r"\| \d+ s on one core", head) and "arXiv 2410.00037" in head
    assert f'lab.course_map("{path.stem[:2]}")' in code(notebook)[0].source
    assert "lab.style()" in code(notebook)[0].source


@pytest.mark.parametrize("path", LESSONS)
def test_it_has_all_parts_in_order(path: Path) -> None:
    text = prose(read(path))
    parts = [
        "# ",
        "## The same thing in the package",
        "## Break it",
        "## Recap",
        "## Quiz",
        "## Exercises",
        "## What comes next",
    ]
    places = [re.search(rf"^{part}", text, re.MULTILINE) for part in parts]
    assert all(places), [part for part, place in zip(parts, places, strict=True) if place is None]
    starts = [place.start() for place in places]
    # the package may come before or after the fault, everything else has its place
    assert sorted(starts) == starts or sorted(starts[3:]) == starts[3:] and max(starts[1:3]) < starts[3]


@pytest.mark.parametrize("path", LESSONS)
def test_the_recap_names_files_that_exist(path: Path) -> None:
    recap = section(prose(read(path)), "Recap")
    files = re.findall(r"`((?:\w+/)*\w+\.py)`", recap)
    assert files
    places = [ROOT if name.startswith("tests/") else ROOT / "minimoshi" for name in files]
    assert [name for name, place in zip(files, places, strict=True) if not (place / name).is_file()] == []
    folders = re.findall(r"`((?:\w+/)+)`", recap)
    assert [name for name in folders if not (ROOT / name).is_dir()] == []


@pytest.mark.parametrize("path", LESSONS)
def test_the_quiz_has_three_questions_and_a_reason_for_every_answer(path: Path) -> None:
    questions = re.split(r"^\*\*\d\.\*\* ", section(prose(read(path)), "Quiz"), flags=re.MULTILINE)[1:]
    assert len(questions) == 3
    for question in questions:
        folds = re.findall(r"<details><summary>([abc])\) .*?</summary>\n\n(.*?)\n\n</details>", question, re.DOTALL)
        assert [letter for letter, _ in folds] == ["a", "b", "c"], question
        assert all(len(reason) > 4 for _, reason in folds)
        assert sum("Right" in reason for _, reason in folds) == 1, question


@pytest.mark.parametrize("path", LESSONS)
def test_every_exercise_has_a_card_a_stub_and_a_check(path: Path) -> None:
    solution = read(path)
    cards = re.findall(rf"^### Exercise (\d) · .+\n{CARD}$", prose(solution), re.MULTILINE)
    assert cards == ["1", "2", "3"]
    checks_are_passed_there_and_untouched_here(path, 3)


def checks_are_passed_there_and_untouched_here(path: Path, count: int) -> None:
    """In the solution every check is right; the student's stubs are all "not tried yet"."""
    checks = [cell for cell in code(read(path)) if "check" in build.tags(cell)]
    assert len(checks) == count
    for cell in checks:
        verdicts = re.findall(r"^[✓✗·] .*", build.printed(cell), re.MULTILINE)
        assert verdicts and all(verdict.startswith("✓") for verdict in verdicts)
    student = read(NOTEBOOKS / path.name)
    untouched = [build.printed(cell) for cell in code(student) if "check" in build.tags(cell)]
    assert all("not tried yet" in printed and "✓" not in printed for printed in untouched)
    assert "BEGIN SOLUTION" not in build.to_text(student) and "your code" in build.to_text(student)


# ------------------------------------------------------------------------------------------------ the museum


def rooms() -> list[list[nbformat.NotebookNode]]:
    """The cells of each room of the museum, from its heading on."""
    found: list[list[nbformat.NotebookNode]] = []
    for cell in read(MUSEUM).cells:
        if cell.source.startswith("## "):
            found.append([])
        if found:
            found[-1].append(cell)
    return [cells for cells in found if cells[0].source.startswith("## Room ")]


def test_the_annex_has_ten_rooms_and_most_of_them_sound() -> None:
    notebook = read(MUSEUM)
    head = next(cell.source for cell in notebook.cells if cell.source.startswith("# "))
    assert len(re.findall(r"\b\d+ minutes\b", head)) == 2 and re.search(r"\| \d+ s on one core", head)
    assert f'lab.course_map("{ANNEX[0]}")' in code(notebook)[0].source
    titles = [cells[0].source.splitlines()[0] for cells in rooms()]
    assert [re.match(r"## Room (\d+) · \S", title)[1] for title in titles] == [str(n) for n in range(1, 11)]
    pages = [" ".join(str(output) for cell in cells for output in cell.get("outputs", [])) for cells in rooms()]
    assert sum("<audio" in page for page in pages) >= 8
    checks_are_passed_there_and_untouched_here(MUSEUM, 10)


@pytest.mark.parametrize("room", range(10))
def test_a_room_goes_from_the_symptom_to_the_test(room: int) -> None:
    kinds = [cell.id.split("-")[1] if "-" in cell.id else "story" for cell in rooms()[room]]
    assert [kind for kind in kinds if kind not in ("learn", "curves", "sound")] == [
        "story", "notice", "guilty", "mend", "exercise", "check", "answer", "number"
    ]  # fmt: skip
    cells = {kind: cell.source for kind, cell in zip(kinds, rooms()[room], strict=True)}
    assert "**What you would notice:**" in cells["notice"]
    assert re.search(rf"^### Mend it\n{CARD}$", cells["mend"], re.MULTILINE)
    assert re.search(r"<summary>Diagnosis: .*The test\*\*.*\]\(\d\d_\w+\.ipynb\), ", cells["answer"], re.DOTALL)
    assert "assert" in cells["number"]
    for name, title in re.findall(r"\((\d\d_\w+\.ipynb)\), \*([^*]+)\*", cells["answer"]):
        assert f"\n## {title}" in prose(read(NOTEBOOKS / name)), title


@pytest.mark.parametrize("room", range(10))
def test_the_code_on_show_is_the_code_that_made_the_sound(room: int) -> None:
    cells = {cell.id.partition("-")[2]: cell.source for cell in rooms()[room]}
    name = re.match(r"def (\w+)", cells["guilty"])[1]
    signature, _, body = cells["guilty"].partition("\n")
    assert inspect.getsource(getattr(museum, name)).partition("\n")[2].strip() == body.strip()
    parameters = re.findall(r"\w+", signature.partition("(")[2].rstrip(":"))
    assert parameters == list(inspect.signature(getattr(museum, name)).parameters)
    assert f"def {name}(" in cells["exercise"] and f"museum.{name}" in "".join(cells.values())
    assert 3 <= len(cells["guilty"].splitlines()) <= 15


@pytest.mark.parametrize("path", BOTH)
def test_pictures_are_described_and_sounds_have_their_words(path: Path) -> None:
    pictures = sounds = 0
    for output in outputs(read(path)):
        data, metadata = output.get("data", {}), output.get("metadata", {})
        for kind in set(data) & {"image/png", "image/jpeg"}:
            pictures += 1
            assert len(metadata.get(kind, {}).get("alt", "")) >= 20
        if "<audio" in data.get("text/html", ""):
            sounds += 1
            assert re.fullmatch(r"▶ .+: “.+” \([\d.]+ s, \d+ Hz\)", data["text/plain"])
            said = re.search(r"“(.+)”", data["text/plain"]).group(1)
            assert said.split()[0].strip("[]") in html.unescape(data["text/html"])
        assert "image/svg+xml" not in data
    assert 6 <= pictures <= 14 and sounds >= 1


@pytest.mark.parametrize("path", ONE)
def test_every_sound_can_be_heard(path: Path) -> None:
    for output in outputs(read(path)):
        for sound in re.findall(r'src="data:audio/\w+;base64,([^"]+)"', output.get("data", {}).get("text/html", "")):
            wav, _ = soundfile.read(io.BytesIO(base64.b64decode(sound)))
            assert 0.03 < np.abs(wav).max() <= 1.0, output["data"]["text/plain"]


@pytest.mark.parametrize("path", ONE)
def test_it_is_read_in_small_steps(path: Path) -> None:
    notebook = read(path)
    lengths = [len(cell.source.splitlines()) for cell in code(notebook)]
    assert statistics.median(lengths) <= 8 and max(lengths) <= 40
    assert 1_500 <= len(prose(notebook).split()) <= 3_000
    assert max(len(build.printed(cell).splitlines()) for cell in code(notebook)) <= 15
    assert all(cell.source.strip() for cell in notebook.cells)


@pytest.mark.parametrize("path", BOTH)
def test_links_lead_somewhere_and_no_machine_is_named(path: Path) -> None:
    notebook = read(path)
    for link in re.findall(r"\]\(([^)#]+)", prose(notebook)):
        assert link.startswith("https://arxiv.org/") or (path.parent / link).exists(), link
    printed = "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs(notebook)
    )
    assert not PLACES.search(build.to_text(notebook) + printed)


def test_cells_are_clean_python() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", str(NOTEBOOKS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_index_lists_every_notebook_with_its_times() -> None:
    index = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    assert build.indexed(index, NOTEBOOKS) == index, "run `python -m minimoshi.lab.build`, which writes the times"
    assert [row[1] for row in build.INDEX_ROW.findall(index)] == [path.name for path in STUDENTS]
    assert all((NOTEBOOKS / "solutions" / path.name).is_file() for path in STUDENTS)


def test_a_notebook_that_drifts_is_named_whatever_the_machine() -> None:
    claimed = {"a": 20, "b": 30, "c": 50}
    assert not seconds.drifted({"a": 2.0, "b": 3.0, "c": 5.0}, claimed)  # ten times as fast, all of it
    assert list(seconds.drifted({"a": 60.0, "b": 30.0, "c": 50.0}, claimed)) == ["a"]
    assert list(seconds.drifted({"a": 20.0, "b": 30.0, "c": 12.0}, claimed)) == ["c"]


@pytest.mark.parametrize("asked", [True, False])
def test_drifting_fails_only_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    monkeypatch.setattr(seconds, "_found", {**{str(i): 10.0 for i in range(10)}, "slow": 60.0})
    monkeypatch.setattr(seconds, "stated", lambda path: 10)
    option = SimpleNamespace(fail_drifted=asked)
    session = SimpleNamespace(config=SimpleNamespace(option=option), exitstatus=pytest.ExitCode.OK)
    seconds.pytest_sessionfinish(session)
    assert session.exitstatus == (pytest.ExitCode.TESTS_FAILED if asked else pytest.ExitCode.OK)
