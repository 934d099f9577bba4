"""The notebooks are tested only as well as nbval is strict: printed text counts, sounds do not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]


def text(printed: str, name: str = "stdout") -> nbformat.NotebookNode:
    return new_output("stream", name=name, text=printed)


def html(page: str) -> nbformat.NotebookNode:
    return new_output("display_data", {"text/html": page, "text/plain": "<IPython.core.display.HTML object>"})


# what runs, what is stored, is the cell to pass?
CELLS = [
    ("print(1920 / 24000)", text("0.08\n"), True),
    ("print(1920 / 24000)", text("0.04\n"), False),
    ("import sys; print('3 s left', file=sys.stderr)", text("9 s left\n", "stderr"), True),
    ("from IPython.display import HTML, display; display(HTML('<b>now</b>'))", html("<b>then</b>"), True),
    ("print(object())", text("<object object at 0x7f0000000001>\n"), True),
    ("print('something')", None, False),
    ("assert False", None, False),
]


def test_what_nbval_compares(tmp_path: Path) -> None:
    cells = [
        new_code_cell(source, execution_count=number, outputs=[] if stored is None else [stored])
        for number, (source, stored, _) in enumerate(CELLS, start=1)
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "page.ipynb")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "conftest",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--nbval",
        "-rA",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([*command, str(tmp_path / "page.ipynb")], env=environment, capture_output=True, text=True)
    passed = re.findall(r"^PASSED .*::Cell (\d+)", run.stdout, re.MULTILINE)
    failed = re.findall(r"^FAILED .*::Cell (\d+)", run.stdout, re.MULTILINE)
    assert [int(i) for i in passed] == [i for i, (*_, passes) in enumerate(CELLS) if passes], run.stdout + run.stderr
    assert [int(i) for i in failed] == [i for i, (*_, passes) in enumerate(CELLS) if not passes], run.stdout
