"""`minimoshi grade`: run students' notebooks, judge every exercise on hidden inputs, write the marks as a table.

A student's code is run as it stands: grade the work of people you do not know in a container.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from tqdm import tqdm

from ..audio import check_writable
from .check import EXERCISES
from .check.core import HIDDEN, NOT_TRIED, RIGHT, SIGNS

SEEDS = 3  # hidden draws an answer must survive
SECONDS = 120  # of one cell


@dataclass(frozen=True)
class Mark:
    """One exercise of one student. state: "right", "wrong" or "not tried yet"."""

    student: str
    notebook: str
    exercise: str
    state: str
    message: str = ""


def find_notebooks(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Notebooks of the course that lie at these paths; of a folder all that lie below it, solutions left out."""
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}; give notebooks, or folders made by `minimoshi start`")
        some = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        found += [p for p in some if not {"solutions", ".ipynb_checkpoints"} & set(p.parts[:-1]) or not path.is_dir()]
    wanted = {e.notebook for e in EXERCISES.values()}
    notebooks = [p for p in found if number_of(p) in wanted]
    if not notebooks:
        raise ValueError(f"none of {[str(p) for p in found][:5]} is a notebook of the course (00_… to 13_…, museum_…)")
    return notebooks


def number_of(path: Path) -> str:
    """What stands before the first _ of its name: "07", or "museum"."""
    return path.stem.partition("_")[0]


def student_of(path: Path) -> str:
    """Whose notebook it is: the folder that `minimoshi start` made, or the one it lies in."""
    folder = path.resolve().parent
    return folder.parent.name if folder.name in ("notebooks", "solutions") else folder.name


def grade_notebook(path: Path, seeds: Sequence[int]) -> list[Mark]:
    """Run a notebook from top to bottom, whatever fails in it, and collect what its checks say for `seeds`."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    verdicts: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "verdicts.jsonl"
        client = NotebookClient(
            nbformat.read(path, as_version=4),
            timeout=SECONDS,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": str(path.parent)}},
        )
        hidden = {HIDDEN: json.dumps({"path": str(told), "seeds": list(seeds)})}
        try:
            client.execute(env=os.environ | hidden)
        except (CellTimeoutError, DeadKernelError):
            pass  # what was judged before counts
        if told.exists():
            for line in told.read_text(encoding="utf-8").splitlines():
                verdict = json.loads(line)
                verdicts[verdict["exercise"]] = verdict  # the last word counts
    return [
        Mark(student_of(path), e.notebook, name, **_state(verdicts.get(name)))
        for name, e in EXERCISES.items()
        if e.notebook == number_of(path)
    ]


def _state(verdict: dict | None) -> dict[str, str]:
    if verdict is None:
        return {"state": NOT_TRIED, "message": "its check was not reached"}
    return {"state": verdict["state"], "message": "" if verdict["state"] == RIGHT else verdict["message"]}


def write_marks(path: Path, marks: Sequence[Mark], seed: int) -> None:
    """A .csv with a row per exercise, or a .json with the seed beside."""
    rows = [asdict(mark) for mark in marks]
    if path.suffix == ".json":
        path.write_text(json.dumps({"seed": seed, "marks": rows}, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return
    with open(path, "w", newline="", encoding="utf-8-sig") as file:  # so that spreadsheets read every alphabet
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows({key: _plain(value) for key, value in row.items()} for row in rows)


def _plain(value: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def grade(options: argparse.Namespace) -> None:
    """The command: paths, seed, out, force."""
    out = Path(options.out) if options.out else None
    if out and out.suffix not in (".csv", ".json"):
        raise ValueError(f"--out {out}: marks are written as .csv or .json")
    if out:
        check_writable(out, options.force)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    seeds = [seed + n for n in range(SEEDS)]
    marks = []
    for path in tqdm(find_notebooks(options.paths), desc="notebooks", unit="notebook"):
        marks += grade_notebook(path, seeds)
    for student in dict.fromkeys(mark.student for mark in marks):
        _print_marks(student, [mark for mark in marks if mark.student == student])
    print(f"hidden inputs: --seed {seed}")
    if out:
        write_marks(out, marks, seed)


def _print_marks(student: str, marks: Sequence[Mark]) -> None:
    right = sum(mark.state == RIGHT for mark in marks)
    print(f"{student}: {right} of {len(marks)} right")
    for notebook in dict.fromkeys(mark.notebook for mark in marks):
        some = [f"{SIGNS[m.state]} {m.exercise}" for m in marks if m.notebook == notebook]
        print(f"  {notebook}  {'  '.join(some)}")
