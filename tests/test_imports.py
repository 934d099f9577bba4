"""The house's rules: imports point downwards only, the core stays small, importing is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "minimoshi"

# Each room may import from itself and from the rooms in the rows before it; all others stand on top of these.
LEVELS = [["config", "sampling"], ["audio", "checkpoint"], ["nn"], ["text", "mimi"], ["moshi"]]
ENTRANCES = {"cli", "__main__"}  # nothing else imports from them
CORE = ["nn", "text", "mimi", "moshi"]  # and config.py
FILES = sorted(PACKAGE.rglob("*.py"))


ROOMS: set[str] = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms of this package that a file imports from, wherever in the file; "" is the package itself."""
    here = ["minimoshi", *path.relative_to(PACKAGE).parent.parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    rooms = {name.split(".")[1] if "." in name else "" for name in names if name.split(".")[0] == "minimoshi"}
    return {room if room in ROOMS else "" for room in rooms}


@pytest.mark.parametrize(
    "path", [path for path in FILES if path != PACKAGE / "__init__.py"], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_point_downwards(path: Path) -> None:
    room, imported = room_of(path), imported_rooms(path)
    level = next((level for level, rooms in enumerate(LEVELS) if room in rooms), None)
    if level is None:
        allowed = ROOMS | {""} if room in ENTRANCES else (ROOMS | {""}) - ENTRANCES
    else:
        allowed = {lower for rooms in LEVELS[:level] for lower in rooms}
    upwards = imported - allowed - {room}
    assert not upwards, f"{path.name} imports from {sorted(upwards)}"


def test_the_import_check_can_see() -> None:
    assert imported_rooms(PACKAGE / "moshi" / "dialogue.py") >= {"audio", "checkpoint", "config", "mimi", "text"}
    assert imported_rooms(PACKAGE / "nn" / "transformer.py") >= {"config", "nn"}


def code_lines(path: Path) -> int:
    """Lines without blank ones, docstrings and whole-line comments."""
    text = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(bool(line.strip()) and number not in docstrings for number, line in lines)


def test_the_core_can_be_read_in_an_afternoon() -> None:
    files = [PACKAGE / "config.py", *(file for room in CORE for file in (PACKAGE / room).rglob("*.py"))]
    assert len(files) > 15
    total = sum(code_lines(file) for file in files)
    assert 500 < total <= 2000


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_a_few_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_importing_is_quick_and_leaves_heavy_things_for_when_they_are_needed() -> None:
    """`import minimoshi` takes at most 2 s of processor time beyond torch."""
    script = (
        "import sys, time, torch; start = time.process_time(); import minimoshi; "
        "print(time.process_time() - start, *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, *loaded = run.stdout.split()
    assert float(seconds) <= 2
    heavy = {"librosa", "matplotlib", "transformers", "IPython", "huggingface_hub", "scipy", "moshi", "rustymimi"}
    assert "minimoshi.moshi" in loaded and not heavy & set(loaded)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_unpickles(path: Path) -> None:
    """Weights come from safetensors; a training run may resume from tensors and numbers, never from code."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    for call in calls:
        name, options = ast.unparse(call.func), {option.arg: ast.unparse(option.value) for option in call.keywords}
        assert name not in ("pickle.load", "pickle.loads", "joblib.load")
        if name == "torch.load":
            assert room_of(path) == "training" and options.get("weights_only") == "True"
