"""Run the course's notebooks and make the student notebooks from the solution notebooks.

`notebooks/solutions/NN_name.ipynb` is the source. Between `# BEGIN SOLUTION: stub` and `# END SOLUTION`
stands a solution; the student notebook `notebooks/NN_name.ipynb` gets the stub instead. Special tags:

    solution-only   left out of the student notebook
    check           its printed verdict is shown to the student, folded, as the expected output

    python -m minimoshi.lab.build             run every solution notebook, make and run every student notebook
    python -m minimoshi.lab.build 01 03       only these
    python -m minimoshi.lab.build --check     run nothing; fail where a student notebook is stale
    python -m minimoshi.lab.build 01 --to-text FILE     write the cells as plain text, pleasant to edit
    python -m minimoshi.lab.build 01 --from-text FILE   put edited text back (ids are kept), and run
"""

import argparse
import copy
import math
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from .maps import ANNEX, COURSE

SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION: (.*)\n(?:.*\n)*?\1# END SOLUTION$", re.MULTILINE)
HEADER = re.compile(r"^%% (?P<kind>md|code) (?P<id>[a-z0-9-]+)(?: \[(?P<tags>[a-z0-9, -]*)\])?$")
SECONDS = re.compile(r"\d+(?= s on one core)")
TIMES = re.compile(r"^\| (\d+) minutes \| (\d+) minutes \| (\d+) s on one core \|", re.MULTILINE)
INDEX_ROW = re.compile(r"^(\| \[.*\]\((\w+\.ipynb)\) \| .* \|) \d+ \| \d+ \| \d+ \|$", re.MULTILINE)
WIDGET = "application/vnd.jupyter.widget-view+json"  # names an object of a kernel that is gone when the page is read
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks_folder() -> Path:
    return Path(__file__).resolve().parents[2] / "notebooks"


def sources(numbers: list[str], folder: Path) -> list[Path]:
    """The solution notebooks with these numbers (none given: all that exist), in the order of the course."""
    known = {number: folder / "solutions" / f"{name}.ipynb" for number, name, _ in [*COURSE, ANNEX]}
    unknown = [number for number in numbers if number not in known]
    if unknown:
        raise ValueError(f"There is no notebook {', '.join(unknown)}; the course has {', '.join(known)}.")
    return [known[n] for n in numbers] if numbers else [path for path in known.values() if path.is_file()]


def to_text(notebook: NotebookNode) -> str:
    """Cells as text: a line `%% md id [tags]` or `%% code id [tags]`, then the source."""
    parts = []
    for cell in notebook.cells:
        tags = ", ".join(cell.metadata.get("tags", []))
        kind = "code" if cell.cell_type == "code" else "md"
        parts.append(f"%% {kind} {cell.id}" + (f" [{tags}]" if tags else "") + f"\n{cell.source}\n")
    return "\n".join(parts)


def from_text(text: str) -> NotebookNode:
    """The notebook that `to_text` wrote, without outputs. ValueError where an id is missing or twice."""
    cells: list[NotebookNode] = []
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("%% "):
            lines.append(line)
            continue
        header = HEADER.match(line)
        if header is None:
            raise ValueError(
                f"{line!r} should be `%% md id [tags]` or `%% code id [tags]`, with ids of a-z, 0-9 and -."
            )
        if cells:
            cells[-1].source = "\n".join(lines).strip("\n")
        make = nbformat.v4.new_code_cell if header["kind"] == "code" else nbformat.v4.new_markdown_cell
        tags = [tag.strip() for tag in (header["tags"] or "").split(",") if tag.strip()]
        cells.append(make(id=header["id"], metadata={"tags": tags} if tags else {}))
        lines = []
    cells[-1].source = "\n".join(lines).strip("\n")
    ids = [cell.id for cell in cells]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ValueError(f"Cell ids must be unique; these come twice: {', '.join(twice)}.")
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def printed(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream").rstrip()


def student_version(solution: NotebookNode) -> NotebookNode:
    """Stubs for solutions, expected verdicts folded, links one folder up; no outputs yet."""
    cells = []
    for cell in solution.cells:
        if "solution-only" in tags(cell):
            continue
        cell = copy.deepcopy(cell)
        if cell.cell_type == "code":
            verdict = printed(cell)
            cell.source = SOLUTION.sub(r"\1\2  # your code", cell.source)
            cell.outputs, cell.execution_count = [], None
            cells.append(cell)
            if "check" in tags(cell) and verdict:
                fold = f"<details><summary>Expected output</summary>\n\n```text\n{verdict}\n```\n\n</details>"
                cells.append(nbformat.v4.new_markdown_cell(fold, id=f"{cell.id}-expected"))
        else:
            cell.source = cell.source.replace("](../", "](")
            cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells, metadata=copy.deepcopy(METADATA))


def run(notebook: NotebookNode, folder: Path) -> float:
    """Run all cells in `folder` on one thread, keeping the outputs. Returns the seconds of computing it took."""
    os.environ["OMP_NUM_THREADS"] = "1"
    before, started = os.times(), time.perf_counter()
    NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    after = os.times()
    computing = after.children_user + after.children_system - before.children_user - before.children_system
    return computing or time.perf_counter() - started  # Windows does not count what children compute


def write(notebook: NotebookNode, path: Path) -> None:
    notebook.metadata = copy.deepcopy(METADATA)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def build(path: Path) -> None:
    """Run a solution notebook, note its seconds in its head, make and run the student notebook."""
    solution = nbformat.read(path, as_version=4)
    seconds = run(solution, path.parent)
    head = next(cell for cell in solution.cells if SECONDS.search(cell.source))
    head.source = SECONDS.sub(str(math.ceil(seconds)), head.source)
    write(solution, path)
    student, target = student_version(solution), path.parents[1] / path.name
    run(student, target.parent)
    write(student, target)
    sizes = ", ".join(f"{p.stat().st_size / 1000:.0f} kB" for p in (path, target))
    print(f"{path.stem}: {seconds:.1f} s, {sizes}")


def indexed(index: str, folder: Path) -> str:
    """notebooks/README.md with the minutes and seconds that the notebooks in `folder` state themselves."""

    def row(found: re.Match) -> str:
        cells = nbformat.read(folder / found[2], as_version=4).cells
        times = next((match for cell in cells if (match := TIMES.search(cell.source))), None)
        if times is None:
            raise ValueError(f"{found[2]} does not state its times (`| 35 minutes | 30 minutes | 19 s on one core |`)")
        return f"{found[1]} {times[1]} | {times[2]} | {times[3]} |"

    return INDEX_ROW.sub(row, index)


def same(path: Path) -> bool:
    """Is the committed student notebook, outputs apart, the one that its solution notebook makes?"""
    target = path.parents[1] / path.name
    wanted = to_text(student_version(nbformat.read(path, as_version=4)))
    return target.is_file() and to_text(nbformat.read(target, as_version=4)) == wanted


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m minimoshi.lab.build", description=__doc__.split("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="numbers, such as 01, or museum; all when left out")
    parser.add_argument("--check", action="store_true", help="run nothing; compare the student notebooks")
    parser.add_argument("--to-text", type=Path, metavar="FILE", help="write one notebook's cells as text")
    parser.add_argument("--from-text", type=Path, metavar="FILE", help="replace one notebook's cells by this text")
    options = parser.parse_args(arguments)
    paths = sources(options.numbers, notebooks_folder())
    if (options.to_text or options.from_text) and len(paths) != 1:
        parser.error("--to-text and --from-text want exactly one notebook number")
    if options.to_text:
        options.to_text.write_text(to_text(nbformat.read(paths[0], as_version=4)), encoding="utf-8")
        return 0
    if options.from_text:
        write(from_text(options.from_text.read_text(encoding="utf-8")), paths[0])
    if options.check:
        stale = [path.stem for path in paths if not same(path)]
        for name in stale:
            print(f"{name}: the student notebook is not what its solution notebook makes; run the build")
        return 1 if stale else 0
    for path in paths:
        build(path)
    index = notebooks_folder() / "README.md"
    index.write_text(indexed(index.read_text(encoding="utf-8"), index.parent), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
