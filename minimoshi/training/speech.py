"""The speech that codecs are trained on: which speakers, how much of each, and held-out crops to check with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config import SAMPLE_RATE
from ..data.augment import Augmentation
from ..data.corpus import Part, SpeechCrops, build_part

SPOKEN = (
    Part("heart", "hibari", 80, 0.55),
    Part("phrases", "hibari:phrases", 25),
    Part("crowd", "hibari:crowd", 60, 0.55),
    Part("slt", "flite:slt", 9),
    Part("rms", "flite:rms", 9),
    Part("kal16", "flite:kal16", 7),
    Part("ked", "festival:ked", 9),
    Part("slt-hts", "festival:slt", 9),
    Part("joe", "piper:joe", 14),
)
HELD_OUT = (
    Part("heart", "hibari", 2.5),
    Part("crowd", "hibari:crowd", 1.2),
    Part("slt", "flite:slt", 0.4),
    Part("rms", "flite:rms", 0.4),
    Part("kal16", "flite:kal16", 0.4),
    Part("joe", "piper:joe", 0.4),
    Part("awb", "flite:awb", 1.5),
)
MOSHI = "heart"
STEADY = (MOSHI, "phrases")  # the parts that are left as they are: Moshi's own voice
WEIGHTS = {
    "heart": 0.22,
    "phrases": 0.1,
    "crowd": 0.2,
    "slt": 0.05,
    "rms": 0.05,
    "kal16": 0.04,
    "ked": 0.04,
    "slt-hts": 0.03,
    "joe": 0.07,
}
HUMAN_WEIGHT = 0.2  # shared by all folders of recordings

# a source of batches: (rng, only speech with known phones) -> wav [B, 1, S], phones int64 [B, F], -100 if unknown
Batches = Callable[[np.random.Generator, bool], tuple[Tensor, Tensor]]


def make_corpus(
    folder: Path, human: dict[str, str], exclude: list[str], seed: int, log: Callable[..., None] = lambda **_: None
) -> None:
    """Speak the training and held-out sentences below `folder`, and read the recordings in `human` (name -> folder)."""
    for part in SPOKEN + tuple(Part(name, f"folder:{path}", 1000) for name, path in human.items()):
        rows = build_part(folder / "corpus", part, seed=seed, exclude=exclude)
        log(part=part.name, clips=len(rows), minutes=sum(row["samples"] for row in rows) / SAMPLE_RATE / 60)
    for part in HELD_OUT:
        build_part(folder / "heldout", part, seed=seed + 1000, held_out=True)


def corpus_crops(folder: Path, augment: bool | Augmentation = True) -> SpeechCrops:
    """Random crops of the corpus in `folder`, every part with its weight."""
    names = sorted(path.stem for path in folder.glob("*.jsonl"))
    human = [name for name in names if name not in WEIGHTS]
    weights = {name: WEIGHTS.get(name, HUMAN_WEIGHT / max(1, len(human))) for name in names}
    if not weights:
        raise FileNotFoundError(f"{folder} holds no speech; run the stage 'corpus' first")
    return SpeechCrops(folder, weights, steady=STEADY, augment=augment)


def batches(crops: SpeechCrops, size: int, samples: int) -> Batches:
    """Batches of `size` crops of `samples` each, as tensors."""

    def draw(rng: np.random.Generator, spoken: bool = False) -> tuple[Tensor, Tensor]:
        wav, phones = crops.batch(rng, size, samples, spoken)
        return torch.from_numpy(wav), torch.from_numpy(phones)

    return draw


def held_out(folder: Path, samples: int, size: int = 8) -> dict[str, Tensor]:
    """For each held-out speaker the same few crops every time: name -> [B, 1, S]."""
    crops = {}
    for path in sorted(folder.glob("*.jsonl")):
        source = SpeechCrops(folder, {path.stem: 1.0}, augment=False)
        crops[path.stem] = batches(source, size, samples)(np.random.default_rng(0), False)[0]
    return crops
