"""`minimoshi start`: a copy of the course for a student, so that updates never overwrite work."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from . import __version__

PARTS = ("notebooks", "data_samples")
PROGRESS = "progress.json"  # beside a student's notebooks: which exercises are passed


def course_root() -> Path:
    """The repository that holds the notebooks, where the package is installed from one."""
    root = Path(__file__).parents[1]
    if all((root / part).is_dir() for part in PARTS):
        return root
    raise FileNotFoundError(
        "this installation holds no notebooks; clone the repository and install it with pip install -e ."
    )


def start(folder: str | os.PathLike) -> tuple[Path, int]:
    """Copy notebooks and sounds into `folder`; returns it and the number of files copied.

    Files that are already there are never touched, so the command may be repeated after an update to fetch what is new.
    """
    root, folder = course_root(), Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder")
    if folder.resolve() == root.resolve() or any(
        (root / part).resolve() in [folder.resolve(), *folder.resolve().parents] for part in PARTS
    ):
        raise ValueError(f"{folder} is where the course itself lies; name a folder of your own")
    copied = 0
    for part in PARTS:
        for source in sorted((root / part).rglob("*")):
            target = folder / source.relative_to(root)
            if (
                source.is_dir()
                or target.exists()
                or any(p.startswith((".", "__")) for p in source.relative_to(root).parts)
            ):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            copied += 1
    progress = folder / PROGRESS
    if not progress.exists():
        folder.mkdir(parents=True, exist_ok=True)
        progress.write_text(json.dumps({"course": __version__, "passed": {}}, indent=1) + "\n", encoding="utf-8")
        copied += 1
    return folder, copied
