"""What was measured once need not be measured again: results on disk, found by what they were computed from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

Value = float | str | None


def default_cache() -> Path:
    """Where results and joined model files are kept: `minimoshi` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minimoshi"


class Memo:
    """`memo(what, inputs, compute)` gives `compute()`, or what it gave for the same inputs before.

    what: the measure and its version; change it when the definition changes. inputs: sounds and strings, known by
    their content. The file is only ever appended to, so a run that is stopped loses nothing; a line that was cut off
    in the middle is measured again. Without a folder, results last as long as the process.
    """

    def __init__(self, folder: str | Path | None = None):
        self._path = None if folder is None else Path(folder) / "measures.jsonl"
        self._known: dict[str, Value] = {}
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue
                self._known[row["key"]] = row["value"]

    def __call__(self, what: str, inputs: tuple[np.ndarray | str, ...], compute: Callable[[], Value]) -> Value:
        key = f"{what}:{digest(*inputs)}"
        if key not in self._known:
            self._known[key] = value = compute()
            if self._path is not None:
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write("\n" * self._cut_off() + json.dumps({"key": key, "value": value}) + "\n")
        return self._known[key]

    def _cut_off(self) -> bool:
        """Whether the last line of the file has no end."""
        with open(self._path, "rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def digest(*inputs: np.ndarray | str) -> str:
    """Twenty hexadecimal digits that stand for the content of sounds and strings."""
    found = hashlib.sha256()
    for item in inputs:
        data = item.encode() if isinstance(item, str) else np.ascontiguousarray(item, np.float32).tobytes()
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()[:20]
