"""Recipes: all numbers of a training as one dataclass, found by name or read from a file, and changed from outside.

And what all `minimoshi train` commands share: the options that choose a recipe and a stage, and how a run begins.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..checkpoint import read_json
from ..config import Config

if TYPE_CHECKING:
    from .loop import RunFolder


def pairs(option: str, kind: str, items: Iterable[str]) -> dict[str, str]:
    """What a repeatable option says as NAME=KIND; ValueError for anything else, and for a name that comes twice."""
    found: dict[str, str] = {}
    for item in items:
        name, _, value = (part.strip() for part in item.partition("="))
        if not (name and value):
            raise ValueError(f"{option} takes NAME={kind}, got {item!r}")
        if name in found:
            raise ValueError(f"{option}: {name!r} comes twice; every {kind.lower()} needs a name of its own")
        found[name] = value
    return found


class Recipe(Config):
    """Base of all recipes; a subclass lists its own in RECIPES, each as what differs from the defaults."""

    RECIPES: ClassVar[dict[str, dict]] = {}

    @classmethod
    def named(cls, name: str):
        """The recipe of that name; ValueError lists the names that exist."""
        if name not in cls.RECIPES:
            raise ValueError(f"there is no recipe {name!r}; choose one of {', '.join(cls.RECIPES)}, or a JSON file")
        return cls.from_dict(cls.RECIPES[name])

    @classmethod
    def read(cls, name: str, changes: Iterable[str] = ()):
        """The recipe of that name or JSON file, with `KEY=VALUE` changes; values are JSON, or words."""
        if name.endswith(".json"):
            if not Path(name).exists():
                raise FileNotFoundError(f"there is no recipe file {name}")
            values = read_json(name)
        else:
            values = cls.named(name).to_dict()
        for change in changes:
            key, sign, value = change.partition("=")
            if not sign:
                raise ValueError(f"--set takes KEY=VALUE, got {change!r}")
            try:
                values[key] = json.loads(value)
            except json.JSONDecodeError:
                values[key] = value
        return cls.from_dict(values)


def add_run_arguments(
    parser: argparse.ArgumentParser, recipes: str, stages: Sequence[str], check_every: int, exported: str
) -> None:
    """The options of every training. recipes: their names, for the help; exported: what comes out, and where to."""
    parser.add_argument("--run-dir", required=True, metavar="FOLDER", help="for everything that the run makes")
    parser.add_argument("--recipe", default="tiny", help=f"{recipes}, or a JSON file (default tiny)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a number of the recipe; repeatable"
    )
    parser.add_argument("--stage", choices=[*stages, "all"], default="all", help="one stage alone (default all)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--check-every", type=int, default=check_every, metavar="STEPS")
    parser.add_argument("--export-to", metavar="FOLDER", help=f"for the finished {exported}")


def wanted(options: argparse.Namespace, stages: Sequence[str]) -> Sequence[str]:
    """The stages that were asked for."""
    return stages if options.stage == "all" else (options.stage,)


def begin(options: argparse.Namespace, recipe: Recipe) -> RunFolder:
    """The run's folder, with the recipe in it; and the process set to what trains small models fastest."""
    import torch

    from .loop import RunFolder

    folder = RunFolder(options.run_dir)
    (folder.path / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1) + "\n")
    torch.set_num_threads(1)  # small tensors: a second thread costs more than it gives
    torch.set_flush_denormal(True)
    return folder
