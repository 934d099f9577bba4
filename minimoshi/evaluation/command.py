"""The options of `minimoshi evaluate codec`; the work is in `report.py`, which is loaded only when it is asked for."""

from __future__ import annotations

import argparse

from .memo import default_cache

QUICK_CLIPS = 10  # of a group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minimoshi evaluate codec`."""
    parser.add_argument("codec", metavar="CODEC", help="a shipped name or a folder with config.json")
    parser.add_argument("--test-set", required=True, metavar="FOLDER", help="clips with a transcripts.json")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the card goes")
    twin = "a codec trained without distillation (train codec --set semantic=0), to compare probes"
    parser.add_argument("--against", metavar="CODEC", help=twin)
    parser.add_argument("--quick", action="store_true", help="few clips, one judge, no other codecs: for a first look")
    some = f"at most N of a group (default all; quick {QUICK_CLIPS})"
    parser.add_argument("--clips", type=int, metavar="N", help=some)
    parser.add_argument("--no-baselines", action="store_true", help="leave Codec 2 and Opus out")
    parser.add_argument("--cache", metavar="FOLDER", help=f"results and models (default {default_cache()})")
    parser.add_argument("--force", action="store_true", help="overwrite a card that exists")


def run(options: argparse.Namespace) -> int | None:
    from .report import run

    return run(options)
