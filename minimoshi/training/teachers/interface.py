"""What every teacher is: something that turns sound into features at the codec's frame rate.

The paper's Mimi learns the meaning of its first level from WavLM (§3.3.3). Nothing in the training asks which
teacher it is; all are opened by a short name with `open_teacher`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...config import SAMPLE_RATE
from ...data.corpus import SpeechCrops
from ..speech import STEADY, Batches, batches

FRAME_SIZE = 1920  # samples of one frame of 80 ms


class Teacher(Protocol):
    """`teacher(wav)`: sound float [B, 1, S] at 24 kHz -> features [B, F, dim], F = S / 1920, without gradient.

    dim: width of the features. causal: whether no frame looks at what comes after it. The features keep the
    teacher's own scale and mean; `Distillation` takes care of both. S must be a multiple of 1920.
    """

    dim: int
    causal: bool

    def __call__(self, wav: Tensor) -> Tensor: ...


def open_teacher(spec: str, device: str | torch.device = "cpu") -> Teacher:
    """A teacher from its short name.

    "phones:FOLDER" (or the teachers.pt of a decoupled run), "selfsupervised:FOLDER", "whisper" and
    "wavlm:FOLDER". Nothing is downloaded. ValueError for another name, FileNotFoundError for a folder that is
    not there, ImportError naming the package that is missing.
    """
    kind, _, place = spec.partition(":")
    if kind == "whisper" and not place:
        from .whisper import WhisperTeacher

        return WhisperTeacher()
    if kind not in ("phones", "selfsupervised", "wavlm") or not place:
        raise ValueError(
            f"teacher {spec!r}: expected 'phones:FOLDER', 'selfsupervised:FOLDER', 'wavlm:FOLDER' or 'whisper'"
        )
    if not Path(place).exists():
        raise FileNotFoundError(f"teacher {spec!r}: there is no {place}; see the module of that teacher for making it")
    if kind == "phones":
        from .phones import PhoneTeacher

        return PhoneTeacher.open(place).to(device)
    if kind == "selfsupervised":
        from .selfsupervised import SelfSupervisedTeacher

        return SelfSupervisedTeacher.from_pretrained(place, device).requires_grad_(False)
    from .wavlm import WavLMTeacher

    return WavLMTeacher(place).to(device)


def check_sound(wav: Tensor) -> int:
    """The number of frames in float [B, 1, S]; ValueError unless it is a whole one."""
    if wav.dim() != 3 or wav.shape[1] != 1 or not wav.is_floating_point():
        raise ValueError(f"a teacher takes float sound [B, 1, S] at 24 kHz, got {wav.dtype} {list(wav.shape)}")
    if not wav.shape[-1] or wav.shape[-1] % FRAME_SIZE:
        raise ValueError(f"expected a positive multiple of {FRAME_SIZE} samples, got {wav.shape[-1]}; pad with silence")
    return wav.shape[-1] // FRAME_SIZE


@functools.lru_cache(maxsize=1)
def _two_from_three() -> Tensor:
    """Filters [2, 1, 98]: every 3 samples at 24 kHz, with their neighbours, become 2 at 16 kHz.

    Both are halves of one low-pass filter at 48 kHz, the rate that the two have in common: the first output falls on an
    input sample and takes every second tap, the other falls half-way between two and takes the taps between.
    """
    from scipy.signal import firwin

    taps = 2 * firwin(193, 7_600, fs=2 * SAMPLE_RATE, window=("kaiser", 8.0))
    return torch.from_numpy(np.stack([np.pad(taps[0::2], (0, 1)), np.pad(taps[1::2], (2, 0))])[:, None]).float()


def to_16_khz(wav: Tensor) -> Tensor:
    """24 kHz float [B, 1, S] -> 16 kHz [B, 1, 2S/3]; S must be a multiple of 3. What lies above 8 kHz is lost."""
    if wav.shape[-1] % 3:
        raise ValueError(f"24 kHz to 16 kHz needs a multiple of 3 samples, got {wav.shape[-1]}")
    pairs = F.conv1d(F.pad(wav, (48, 49)), _two_from_three().to(wav), stride=3)  # [B, 2, S/3]
    return pairs.transpose(1, 2).flatten(1)[:, None]


def corpus_batches(
    folder: str | Path, size: int, frames: int, parts: list[str] | None = None, augment: bool = True
) -> Batches:
    """Random crops of `frames` frames from a corpus; each of its `parts` (default all) by its length."""
    names = parts or sorted(path.stem for path in Path(folder).glob("*.jsonl"))
    if not names:
        raise FileNotFoundError(f"{folder} holds no speech (NAME.jsonl, NAME.i16); make it with build_part")
    lengths = {name: float((Path(folder) / f"{name}.i16").stat().st_size) for name in names}
    return batches(SpeechCrops(folder, lengths, steady=STEADY, augment=augment), size, frames * FRAME_SIZE)
