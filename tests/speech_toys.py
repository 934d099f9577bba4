"""Speech without an engine: a voice of tones, and a corpus and a codec small enough for a test."""

from pathlib import Path

import numpy as np
import pytest

from minimoshi.config import MimiConfig
from minimoshi.data.corpus import Part, build_part
from minimoshi.data.voices import PHONES, SAMPLE_RATE, Span, Speech, Voice

CODEC = MimiConfig(
    dim=24,
    encoder_filters=4,
    decoder_filters=4,
    layers=1,
    heads=2,
    hidden=32,
    context=16,
    layer_scale=0.1,
    n_codebooks=3,
    n_quantizers=3,
    codebook_size=16,
    codebook_dim=16,
)


def tone_voice(spec: str) -> Voice:
    """Every letter is a tone of 100 ms with its own pitch and its own phone."""

    def speak(text: str) -> Speech:
        pieces, phones = [], []
        for i, letter in enumerate(text.replace(" ", "")):
            number = ord(letter) % 20
            time = np.arange(SAMPLE_RATE // 10) / SAMPLE_RATE
            pieces.append(np.sin(2 * np.pi * (200 + 150 * number) * time).astype(np.float32) * 0.3)
            phones.append(Span(PHONES[1 + number], i / 10, (i + 1) / 10))
        return Speech(np.concatenate(pieces), [], phones)

    return speak


def toy_corpus(folder: Path, monkeypatch: pytest.MonkeyPatch, minutes: float = 0.3) -> None:
    """Parts "heart" and "crowd" under `folder`, spoken by the tone voice."""
    monkeypatch.setattr("minimoshi.data.corpus.open_voice", tone_voice)
    for name in ("heart", "crowd"):
        build_part(folder, Part(name, "flite:slt", minutes))
