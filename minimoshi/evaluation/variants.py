"""A table of variants that were each trained with several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def variants_table(
    head: str, columns: Mapping[str, tuple[str, str]], results: Mapping[str, Sequence[Mapping[str, float | None]]]
) -> str:
    """Markdown: mean ± standard deviation over the seeds that have the number.

    head: title of the first column. columns: {key of a run: (title, format)}. results: {variant: a run per seed}.
    """
    titles = [head, *(title for title, _ in columns.values())]
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    for name, runs in results.items():
        cells = []
        for key, (_, form) in columns.items():
            values = [run[key] for run in runs if run[key] is not None]
            spread = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):{form}}{spread}" if values else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
