"""The codec's report card: is speech understood after it, how does it sound, and what do its tokens know?

    minimoshi evaluate codec CODEC --test-set FOLDER --out FOLDER        the whole card, in a quarter of an hour or so
    minimoshi evaluate codec CODEC --test-set FOLDER --out FOLDER --quick     a first look, in about a minute

CODEC is a shipped name or a folder. The test set is a folder with transcripts.json (see `clips.load_clips`). Into the
output folder go card.md, card.json, clips.json with what was heard in every clip, and figures. What was measured once
is kept in a cache, so a run that was stopped goes on, and the next codec's card need not judge the originals again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ..bench import machine
from ..checkpoint import WEIGHTS, find_folder
from ..mimi import MimiAudioCodec
from .bars import bars
from .baselines import check_programs
from .clips import Clip, first_of_each, load_clips
from .codec import frame_milliseconds
from .command import QUICK_CLIPS, add_arguments
from .memo import Memo, default_cache, digest
from .systems import Plan, measure_clips, summarise
from .tokens import phone_probe, probe_tokens, read_tokens

PACKAGES = {"pesq": "pesq", "pystoi": "pystoi", "faster_whisper": "faster-whisper"}
FULL_PACKAGES = {"speechmos": "speechmos", "onnxruntime": "onnxruntime", "resemblyzer": "resemblyzer"}


def run(options: argparse.Namespace) -> int | None:
    """Make the card that `options` (see `command.add_arguments`) ask for, and print its bars."""
    out = Path(options.out)
    if (out / "card.json").exists() and not options.force:
        raise ValueError(f"{out} holds a card; choose another folder, or overwrite it with --force")
    check_packages(options.quick, baselines=not (options.quick or options.no_baselines))
    if options.clips is not None and options.clips < 1:
        raise ValueError(f"--clips must be at least 1, got {options.clips}")
    torch.set_num_threads(1)  # small matrices: one thread is the fastest, and the frame is timed on one
    torch.set_flush_denormal(True)
    from .card import print_summary, write_card

    card, clips, codec = make_card(options)
    out.mkdir(parents=True, exist_ok=True)
    write_card(out, card, clips, codec)
    print_summary(card)
    print(f"-> {out / 'card.md'}")
    return None


def check_packages(quick: bool, baselines: bool) -> None:
    """ImportError that names everything that must be installed first."""
    wanted = PACKAGES if quick else PACKAGES | FULL_PACKAGES
    missing = [package for module, package in wanted.items() if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"the report card needs {', '.join(missing)}: pip install 'minimoshi[train]', "
            "then pip install --no-deps resemblyzer"
        )
    if baselines:
        check_programs()


def make_card(options: argparse.Namespace) -> tuple[dict[str, Any], list[Clip], MimiAudioCodec]:
    """Measure everything: the card as it goes to card.json, the clips that were judged, the codec."""
    started = time.perf_counter()
    codec = MimiAudioCodec.from_pretrained(options.codec).eval()
    cache = Path(options.cache or default_cache())
    clips = load_clips(options.test_set)
    judged = first_of_each(clips, options.clips or (QUICK_CLIPS if options.quick else None))
    plan = Plan(codec.n_quantizers, options.quick, baselines=not (options.quick or options.no_baselines))
    rows = measure_clips(codec, judged, plan, Memo(cache), str(cache))
    codes = read_tokens(codec, clips)
    card: dict[str, Any] = {
        "codec": options.codec,
        "weights": _hash(Path(find_folder(options.codec, codec.part)) / WEIGHTS),
        "weights_mb": (Path(find_folder(options.codec, codec.part)) / WEIGHTS).stat().st_size / 1e6,
        "command": _command(options),
        "test_set": digest(*(part for clip in clips for part in (clip.wav, clip.text))),
        "quick": options.quick,
        "judges": list(plan.judges),
        "quantizers": codec.n_quantizers,
        "codebook_size": codec.config.codebook_size,
        "bits_per_second": codec.config.bits_per_second,
        "parameters": sum(p.numel() for p in codec.parameters()),
        "frame_ms": frame_milliseconds(codec),
        "machine": machine(),
        "groups": summarise(judged, rows, plan),
        "tokens": probe_tokens(codec, codes, rows),
        "probes": phone_probe(codec, clips, codes),
        "clips": rows,
    }
    if options.against:
        other = MimiAudioCodec.from_pretrained(options.against).eval()
        card["against"] = {"codec": options.against, **phone_probe(other, clips, read_tokens(other, clips))}
    card["bars"] = [vars(bar) | {"passed": bar.passed} for bar in bars(card)]
    card["seconds"] = time.perf_counter() - started
    return card, judged, codec


def _command(options: argparse.Namespace) -> str:
    """What to type to get this card again."""
    words = ["minimoshi", "evaluate", "codec", options.codec, "--test-set", options.test_set, "--out", options.out]
    for name in ("against", "clips"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", str(value)]
    words += [f"--{name.replace('_', '-')}" for name in ("quick", "no_baselines") if getattr(options, name)]
    return shlex.join(os.fspath(word) for word in words)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.evaluation.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return run(parser.parse_args(arguments)) or 0


if __name__ == "__main__":
    raise SystemExit(main())
