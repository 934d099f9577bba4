"""What is in the codec's tokens: how evenly they are used, whether they come back, and what they know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..mimi import MimiAudioCodec
from ..training.codebooks import usage
from .clips import Clip
from .codec import latents, tokens
from .probes import FOLDS, abx, phone_labels, table_probe

# Seconds after which a codec may name a phone: one that waits a little knows better which it was.
LATE = (0.0, 0.04, 0.08)


def read_tokens(codec: MimiAudioCodec, clips: Sequence[Clip]) -> list[Tensor]:
    """The codes int64 [Q, F] of every clip."""
    return [tokens(codec, clip.wav) for clip in tqdm(clips, desc="tokens", unit="clip")]


def probe_tokens(codec: MimiAudioCodec, codes: Sequence[Tensor], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Usage per level over all `codes`, and the mean of what `measure_clips` found of idempotence."""
    joined = torch.cat(list(codes), dim=1)
    found = [usage(level, codec.config.codebook_size) for level in joined]
    same, shifted = np.mean([row["idempotence"] for row in rows], axis=0)
    return {
        "frames": joined.shape[1],
        "perplexity": [level.perplexity for level in found],
        "entropy": [level.entropy for level in found],
        "used": [level.used for level in found],
        "idempotence": same.tolist(),
        "idempotence_40ms": shifted.tolist(),
    }


def phone_probe(codec: MimiAudioCodec, clips: Sequence[Clip], codes: Sequence[Tensor]) -> dict[str, Any]:
    """What each level knows of phone and speaker, and ABX by number of codebooks, on the clips with phone times.

    Phones are those that were heard `late` seconds before, for that one of LATE after which level 1 names them best.
    {} when fewer than five clips have them.
    """
    known = [i for i, clip in enumerate(clips) if clip.phones]
    if len(known) < FOLDS:
        return {}
    clips, codes = [clips[i] for i in known], [codes[i].numpy() for i in known]
    size, levels = codec.config.codebook_size, range(codec.n_quantizers)

    def heard(late: float) -> list[np.ndarray]:
        return [phone_labels(clip.phones, code.shape[1], late) for clip, code in zip(clips, codes, strict=True)]

    late = max(LATE, key=lambda late: table_probe([code[0] for code in codes], heard(late), size)["accuracy"])
    labels = heard(late)
    speakers = sorted({clip.speaker for clip in clips})
    voices = [
        np.where(wanted >= 0, speakers.index(clip.speaker), -100) for clip, wanted in zip(clips, labels, strict=True)
    ]
    phone = [table_probe([c[level] for c in codes], labels, size) for level in levels]
    speaker = [table_probe([c[level] for c in codes], voices, size) for level in levels]
    vectors = [latents(codec, torch.from_numpy(c)).numpy() for c in codes]
    return {
        "late": late,
        "clips": len(clips),
        "frames": int(sum((wanted >= 0).sum() for wanted in labels)),
        "speakers": speakers,
        "phone": [level["accuracy"] for level in phone],
        "phone_chance": phone[0]["chance"],
        "speaker": [level["accuracy"] for level in speaker],
        "speaker_chance": speaker[0]["chance"],
        "abx": [abx([v[q] for v in vectors], labels, [clip.speaker for clip in clips]) for q in levels],
    }
