"""Recipes: all numbers of a training as one dataclass, found by name or read from a file, and changed from outside."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from ..checkpoint import read_json
from ..config import Config


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
