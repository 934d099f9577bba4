"""The options of `minimoshi evaluate session`; the work is in `session.py`, loaded only when it is asked for."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minimoshi evaluate session`."""
    parser.add_argument("model", metavar="MODEL", help="a shipped name, or a folder of a dialogue model or a generator")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the conversation (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    parser.add_argument("--wrong", type=int, default=5, metavar="N", help="show the first N wrong answers (default 5)")
    parser.add_argument("--plot", metavar="FILE", help="a picture of right answers and of the time a frame takes")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def run(options: argparse.Namespace) -> None:
    from .session import run

    run(options)
