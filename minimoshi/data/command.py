"""The options of `minimoshi data`; the work is in `validate.py` and `shards.py`, loaded only when asked for."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_commands(parser: argparse.ArgumentParser) -> None:
    """`minimoshi data validate` and `minimoshi data tokenize`."""
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    source = "a manifest (.jsonl), or a folder: all manifests in it and below"

    check = commands.add_parser("validate", help="everything that is wrong with a set of stereo dialogues")
    check.add_argument("path", metavar="PATH", help=source)
    check.set_defaults(run=_validate)

    tokens = commands.add_parser("tokenize", help="stereo dialogues to token shards; can be stopped and started again")
    tokens.add_argument("path", metavar="PATH", help=source)
    tokens.add_argument("out", metavar="OUT", help="a folder for the shards")
    tokens.add_argument("--codec", default="tiny", help="a shipped name or a folder (default tiny)")
    tokens.add_argument("--tokenizer", default="tiny", help="a shipped name, a folder or a .model file (default tiny)")
    tokens.add_argument("--resample", action="store_true", help="convert sound that is not sampled at 24 kHz")
    tokens.set_defaults(run=_tokenize)


def _validate(options: argparse.Namespace) -> int:
    from .stereo import read_manifest
    from .validate import table, validate

    path = Path(options.path)
    problems = validate(path)
    if problems:
        print(table(problems, path if path.is_dir() else path.parent))
        print(f"{len(problems)} problems in {len({problem.path for problem in problems})} files")
        return 1
    durations = [entry.duration for entry in read_manifest(path)]
    print(f"no problems in {len(durations)} dialogues, {sum(durations) / 3600:.2f} hours")
    return 0


def _tokenize(options: argparse.Namespace) -> None:
    import torch

    from ..mimi import MimiAudioCodec
    from ..text import TextTokenizer
    from .shards import tokenize

    torch.set_num_threads(1)  # small matrices: one thread is the fastest
    codec, tokenizer = MimiAudioCodec.from_pretrained(options.codec), TextTokenizer.from_pretrained(options.tokenizer)
    shards = tokenize(options.path, options.out, codec, tokenizer, options.resample)
    print(f"{len(shards)} dialogues, {shards.frames} frames of {shards.streams} streams in {options.out}")
