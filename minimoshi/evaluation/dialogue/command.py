"""The options of `minimoshi evaluate dialogue`; the work is in `report.py`, loaded only when it is asked for."""

from __future__ import annotations

import argparse

from ..memo import default_cache


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minimoshi evaluate dialogue`."""
    parser.add_argument("model", metavar="MODEL", help="a shipped name, or a folder of a dialogue model or a generator")
    made = "test episodes, made by python -m minimoshi.evaluation.dialogue.cases"
    parser.add_argument("--cases", required=True, metavar="FOLDER", help=made)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the card goes")
    parser.add_argument("--quick", type=int, metavar="N", help="only the first N episodes of every skill and group")
    parser.add_argument("--groups", nargs="+", metavar="GROUP", help="only these groups of episodes")
    beside = "judge beside the model: a cascade; the model deaf while it speaks; the model hearing its own echo"
    parser.add_argument(
        "--baseline", nargs="+", choices=["cascade", "half-duplex", "echo"], default=[], help=beside
    )
    other = "judge another model as well, under NAME in the same tables; repeatable"
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=MODEL", help=other)
    parser.add_argument("--transcriber", metavar="NAME", help="judge a transcriber as well: a shipped name or a folder")
    own = "0 is greedy (default: the model's own)"
    parser.add_argument("--temperature", type=float, help=f"of the audio tokens; {own}")
    parser.add_argument("--text-temperature", type=float, help=f"of the text tokens; {own}")
    own = "above 0 Moshi says less, below 0 more (default: the model's own)"
    parser.add_argument("--pad-bonus", type=float, help=f"added to the logit of PAD; {own}")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    parser.add_argument("--batch", type=int, default=16, metavar="B", help="conversations at once (default 16)")
    parser.add_argument("--cache", metavar="FOLDER", help=f"results and models (default {default_cache()})")
    parser.add_argument("--force", action="store_true", help="overwrite a card that exists")


def run(options: argparse.Namespace) -> int | None:
    from .report import run

    return run(options)
