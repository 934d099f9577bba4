"""What teachers are given adds up: plans, questions, glossary, and the names and places that they mention."""

import importlib
import inspect
import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import nbformat
import pytest

from minimoshi import HeliumConfig, MimiConfig, MoshiConfig
from minimoshi.lab.maps import COURSE

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
NUMBERS = [number for number, _, _ in COURSE]
PAGES = ["teachers.md", "questions.md", "glossary.md"]
KINDS = {"recall", "reasoning", "calculation", "figure"}


def page(name: str) -> str:
    return (NOTEBOOKS / name).read_text(encoding="utf-8")


def tables(text: str) -> list[list[dict[str, str]]]:
    """Every Markdown table as rows, {title of the column: cell}."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, rule, *rows = ([cell.strip() for cell in line[1:-1].split(" | ")] for line in block.splitlines())
        assert set("".join(rule)) <= set("-|"), block
        assert all(len(row) == len(head) for row in rows), block
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


# ------------------------------------------------------------------------------------------------- questions


class Question(NamedTuple):
    id: str  # such as 04.2
    kind: str
    text: str
    choices: dict[str, str]  # empty where the answer is a number
    right: str  # a letter or a number
    why: str
    wrong: list[tuple[str, str]]  # a letter or number, and what is wrong with it


FORM = re.compile(
    r"(?P<id>\d\d\.\d) · [●]+[○]* · (?P<kind>\w+)\n\n"
    r"(?P<text>(?:[^-\n].*\n)+)\n"
    r"(?P<choices>(?:- [a-d]\) .+\n)*)\n*"
    r"<details><summary>Answer</summary>\n\n"
    r"\*\*(?:(?P<letter>[a-d])\)|(?P<number>[\d.,]+))\*\*(?: ·)? (?P<why>.+)\n\n"
    r"(?P<wrong>(?:- .+\n)+)\n"
    r"</details>\n*"
)


def questions() -> list[Question]:
    head, *blocks = re.split(r"^### ", re.sub(r"^## .*\n+", "", page("questions.md"), flags=re.MULTILINE), flags=re.M)
    found = []
    for block in blocks:
        form = FORM.fullmatch(block)
        assert form, f"this question has another form than the rest:\n{block}"
        wrong = re.findall(r"^- (?:([a-d])\)|([\d.,]+):) (.+)$", form["wrong"], re.MULTILINE)
        assert len(wrong) == len(form["wrong"].splitlines()), block
        found.append(
            Question(
                form["id"],
                form["kind"],
                form["text"].strip(),
                dict(re.findall(r"^- ([a-d])\) (.+)$", form["choices"], re.MULTILINE)),
                form["letter"] or form["number"],
                form["why"],
                [(letter or number, why) for letter, number, why in wrong],
            )
        )
    return found


BANK = questions()


def test_there_are_enough_questions_about_every_notebook() -> None:
    assert len(BANK) >= 60 and f"\n{len(BANK)} questions" in page("questions.md")
    for number in NUMBERS:
        own = [q.id for q in BANK if q.id.startswith(number)]
        assert own == [f"{number}.{i}" for i in range(1, len(own) + 1)] and 4 <= len(own) <= 6, number
    headings = re.findall(r"^## (\d\d) · ", page("questions.md"), re.MULTILINE)
    assert headings == NUMBERS
    assert re.findall(r"^### \d\d\.\d · (.*) · ", page("questions.md"), re.MULTILINE).count("●●●") >= 5


def test_no_question_comes_twice_nor_in_a_quiz() -> None:
    texts = [q.text for q in BANK]
    assert len(set(texts)) == len(texts)
    for path in sorted((NOTEBOOKS / "solutions").glob("*.ipynb")):
        cells = " ".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        assert not [text for text in texts if text in cells]


@pytest.mark.parametrize("question", BANK, ids=[q.id for q in BANK])
def test_one_answer_is_right_and_every_other_has_its_reason(question: Question) -> None:
    assert question.kind in KINDS
    answers = [answer for answer, _ in question.wrong]
    assert len(set(answers)) == len(answers) and question.right not in answers
    if question.choices:
        assert 3 <= len(question.choices) <= 4 and len(set(question.choices.values())) == len(question.choices)
        assert sorted([*answers, question.right]) == sorted(question.choices)
    else:
        assert question.kind == "calculation" and answers
    assert len(question.why) > 8 and all(len(why) > 12 for _, why in question.wrong)


def test_the_letter_gives_nothing_away() -> None:
    right = [q.right for q in BANK if q.choices]
    assert all(right.count(letter) <= 0.45 * len(right) for letter in "abcd")
    longest = [q.right == max(q.choices, key=lambda c: len(q.choices[c])) for q in BANK if q.choices]
    assert sum(longest) <= 0.75 * len(longest)


def test_numbers_in_the_bank_are_those_of_the_package() -> None:
    mimi, helium = MimiConfig.preset("full"), HeliumConfig.preset("full")
    tiny, delays = MimiConfig.preset("tiny"), MoshiConfig.preset("full").delays
    wanted = {
        "00.2": 40 * mimi.frame_rate,
        "00.3": 60 * mimi.frame_rate,
        "01.1": -(-100_000 // mimi.frame_size),
        "03.2": helium.context / mimi.frame_rate,
        "04.1": mimi.frame_size / mimi.downsample,
        "05.1": tiny.bits_per_second,
        "07.2": 1000 / mimi.frame_rate / mimi.n_quantizers,
        "08.1": 10 * mimi.frame_rate * mimi.n_quantizers,
        "10.1": 1 + mimi.n_quantizers,
        "11.2": round((100 * 2 + 7 * 4) / 107, 2),
        "12.3": (1 + 2 * max(delays)) * 1000 / mimi.frame_rate,
    }
    given = {q.id: float(q.right.replace(",", "")) for q in BANK if not q.choices}
    assert {number: given[number] for number in wanted} == wanted


# -------------------------------------------------------------------------------------------------- glossary


ROWS = [row for table in tables(page("glossary.md")) for row in table]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def resolves(package: ModuleType, name: str) -> bool:
    """Is there such a file, or such a name, in the package? The last part may be what a class gives its objects."""
    if name.endswith(".py"):
        return (Path(package.__file__).parent / name).is_file()
    found: Any = package
    *path, last = name.split(".")
    for part in path:
        found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
    if hasattr(found, last):
        return True
    if inspect.ismodule(found):
        return find_spec(f"{found.__name__}.{last}") is not None
    annotated = any(last in getattr(kind, "__annotations__", {}) for kind in found.__mro__)
    return annotated or re.search(rf"\bself\.{last}(:.*)? = |register_buffer\(\"{last}\"", inspect.getsource(found))


def test_the_glossary_is_long_and_names_every_term_once() -> None:
    terms = [row["term"] for row in ROWS]
    assert len(terms) >= 60 and len(set(terms)) == len(terms)
    chinese = [row["中文"] for row in ROWS]
    assert len(set(chinese)) == len(chinese)
    for row in ROWS:
        assert all(row.values()), row
        assert row["what it is"].count(". ") == 0 and len(row["what it is"]) > 15, row
        assert re.search(r"[\u4e00-\u9fff]", row["中文"]) or "top-k" in row["中文"], row
        for column in ("minimoshi", "official"):
            assert row[column] == "–" or names(row[column]), row


def test_names_of_this_package_exist() -> None:
    import minimoshi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        missing = [name for row in ROWS for name in names(row["minimoshi"]) if not resolves(minimoshi, name)]
    assert missing == []


def test_official_names_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_TORCH_COMPILE", "1")
    moshi = pytest.importorskip("moshi")
    assert [name for row in ROWS for name in names(row["official"]) if not resolves(moshi, name)] == []


# -------------------------------------------------------------------------------------------------- teachers


def plans() -> list[tuple[str, list[dict[str, str]]]]:
    """Heading and rows of every plan."""
    part = re.search(r"^## Plans\n(.*?)^## ", page("teachers.md"), re.MULTILINE | re.DOTALL).group(1)
    heads = re.findall(r"^### (.*)$", part, re.MULTILINE)
    assert len(heads) == 3
    return list(zip(heads, tables(part), strict=True))


@pytest.mark.parametrize(("heading", "rows"), plans(), ids=["lecture", "day", "weeks"])
def test_minutes_of_a_plan_add_up_to_its_promise(heading: str, rows: list[dict[str, str]]) -> None:
    promised = re.findall(r"([\d,]+) minutes( in class| at home)?", heading)
    assert promised
    for minutes, where in promised:
        assert sum(int(row[f"minutes{where}"]) for row in rows) == int(minutes.replace(",", "")), heading
    for row in rows:
        for cell in (row.get("notebook"), row.get("notebooks")):
            assert cell is None or cell == "–" or set(cell.split(", ")) <= set(NUMBERS), row


def test_a_week_at_home_is_long_enough_for_its_notebooks() -> None:
    stated = re.findall(r"^\| \[(\d\d) .*? \| (\d+) \| (\d+) \| \d+ \|$", page("README.md"), re.MULTILINE)
    times = {number: int(reading) + int(exercises) for number, reading, exercises in stated}
    assert len(times) >= 10, "the rows of the index have another form"
    weeks = plans()[2][1]
    assert sorted(", ".join(week["notebooks"] for week in weeks).split(", ")) == NUMBERS
    for week in weeks:
        needed = sum(times.get(number, 0) for number in week["notebooks"].split(", "))
        assert needed <= int(week["minutes at home"]), week


def headings(number: str) -> set[str] | None:
    """The sections of a notebook; None where it is not there."""
    name = next(name for known, name, _ in COURSE if known == number)
    path = NOTEBOOKS / f"{name}.ipynb"
    if not path.is_file():
        return None
    cells = nbformat.read(path, as_version=4).cells
    return {title for cell in cells for title in re.findall(r"^## (.*)$", cell.source, re.MULTILINE)}


def test_sections_to_show_live_exist() -> None:
    text = page("teachers.md")
    wanted = [(row["notebook"], row["live"]) for _, rows in plans()[:2] for row in rows]
    wanted += [part.split(" ", 1) for row in plans()[2][1] for part in re.split(r"; ", row["live"])]
    wanted += re.findall(r"^### (\d\d) · .*?\*\*Live coding\*\*:(.*?)^- \*\*", text, re.MULTILINE | re.DOTALL)
    checked = 0
    for number, live in wanted:
        known = headings(number) if number in NUMBERS else None
        for title in re.findall(r"\*([^*]+)\*", " ".join(live.split())):
            assert known is None or title in known, f"{number} has no section “{title}”"
            checked += known is not None
    assert checked > 50


def test_every_notebook_has_its_notes() -> None:
    text = page("teachers.md").split("## Notes on every notebook")[1].split("## For everybody")[0]
    notes = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert [note[:2] for note in notes[:-1]] == NUMBERS and notes[-1].startswith("The museum")
    for note in notes:
        labels = re.findall(r"^- \*\*([A-Z][a-z ]+)\*\*", note, re.MULTILINE)
        assert labels == ["Pitfalls", "Group task", "Live coding", "Fallback"], note


def test_the_rubric_has_four_levels_for_every_criterion() -> None:
    rubric = next(table for table in tables(page("teachers.md")) if "criterion" in table[0])
    levels = [title for title in rubric[0] if re.match(r"\d · ", title)]
    assert [title[0] for title in levels] == ["0", "1", "2", "3"] and all(all(row.values()) for row in rubric)
    assert len(rubric) * 3 == 18 and "Eighteen points" in page("teachers.md")
    assert len(re.findall(r"^\d\. \*\*", page("teachers.md").split("## Capstone")[1], re.MULTILINE)) == 3


def test_links_and_files_exist_and_the_index_leads_here() -> None:
    for name in PAGES:
        assert f"]({name})" in page("README.md")
        for link in re.findall(r"\]\(([^)#]+)", page(name)):
            assert (NOTEBOOKS / link).exists(), f"{name}: {link}"
    for place in re.findall(r"`((?:data_samples|minimoshi)/[\w./-]+)`", page("teachers.md")):
        assert (ROOT / place).exists(), place
    for command in ("make html", "make slides", "minimoshi grade"):
        assert command in page("README.md") and command in page("teachers.md")
