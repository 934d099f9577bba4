"""`minimoshi doctor`: what a bug report asks for, and whether the shipped models work here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable

import torch

NEEDED = (
    "torch",
    "numpy",
    "librosa",
    "soundfile",
    "sentencepiece",
    "safetensors",
    "matplotlib",
    "jupyterlab",
    "ipywidgets",
)
OPTIONAL = {
    "aiohttp": "to talk live: pip install 'minimoshi[serve]'",
    "anywidget": "to talk in a notebook: the same",
    "nbval": "to test the notebooks",
    "moshi": "to compare with the official package",
    "rustymimi": "the same, for the codec",
    "transformers": "the same, Hugging Face's models",
}


def doctor(report: Callable[[str], None] = print) -> int:
    """Report on the machine, the packages and the shipped models. Returns 0 when all that is needed works, else 1."""
    report(f"Python {platform.python_version()} on {platform.platform(terse=True)}, {os.cpu_count()} cores")
    healthy = sys.version_info >= (3, 10)
    for name in NEEDED:
        version = _version(name)
        healthy &= version is not None
        report(f"  {name:<14}{version or 'MISSING: pip install ' + name}")
    for name, purpose in OPTIONAL.items():
        report(f"  {name:<14}{_version(name) or f'not installed (only needed {purpose})'}")
    report(f"  accelerator   {_accelerator()}")
    for what, check in (("codec", _check_codec), ("conversation", _check_dialogue)):
        try:
            report(f"  {what:<14}{check()}")
        except Exception as error:  # whatever is wrong here is what the user came to learn
            healthy = False
            report(f"  {what:<14}FAILED: {error}")
    report("all well" if healthy else "something is missing or broken: see the lines in capitals")
    return 0 if healthy else 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _accelerator() -> str:
    if torch.cuda.is_available():
        return f"CUDA, {torch.cuda.get_device_name()}"
    return "Apple MPS" if torch.backends.mps.is_available() else "none (none is needed for tiny)"


def _check_codec() -> str:
    from . import MimiAudioCodec

    codec = MimiAudioCodec.from_pretrained("tiny")
    with torch.inference_mode():
        wav = 0.1 * torch.sin(torch.arange(24_000) / 24_000 * 440 * 2 * torch.pi)
        codes = codec.encode(wav[None, None])
        state = codec.initial_state()
        pieces = [
            codec.encode(piece[None, None], state) for piece in torch.nn.functional.pad(wav, (0, 960)).split(1920)
        ]
        if not torch.equal(codes, torch.cat(pieces, dim=-1)):
            raise RuntimeError("streaming and whole encoding disagree")
    return f"tiny: {codec.n_quantizers} codebooks at {codec.frame_rate} Hz, streaming equals whole"


def _check_dialogue() -> str:
    from . import FullDuplexDialogueModel

    model = FullDuplexDialogueModel.from_pretrained("tiny")
    frame = model.session(seed=0).step(torch.zeros(model.codec.frame_size))
    return f"tiny: answers {len(frame.pcm)} samples per frame" + (
        "" if model.generator.trained else " (generator not trained yet)"
    )
