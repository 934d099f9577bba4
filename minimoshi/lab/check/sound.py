"""Checks of notebook 01, sound as tensors."""

from typing import Any

import librosa
import numpy as np
import torch

from .core import Wrong, call, exercise, want_close, want_equal, want_shape


def draw(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=generator))


@exercise("01", hint="1920 samples make one frame, 1921 make two: add what is missing before you divide.")
def frame_count(answer: Any, generator: torch.Generator) -> str:
    """`answer(n_samples) -> int`: frames of 1920 samples, the last one filled up with silence."""
    for samples in (1920, 1, 1919, 1921, 64344, 0, *(draw(generator, 1, 10**6) for _ in range(20))):
        want_equal(call(answer, samples), -(-samples // 1920), f"frame_count({samples})")
    return "A started frame counts as a whole one, and no sound has no frames."


@exercise("01", hint="numbers a second × values each number can have, in bits: log2(values).")
def bitrate(answer: Any, generator: torch.Generator) -> str:
    """`answer(numbers_per_second, values) -> float`: bits a second when each number is one of `values`."""
    cases = [(24_000, 65_536), (8_000, 256), (100, 2_048), (1, 2), (draw(generator, 1, 10**4), 3)]
    for rate, values in cases:
        got = call(answer, rate, values)
        if isinstance(got, (torch.Tensor, np.generic)):
            got = got.item()
        if not isinstance(got, (int, float)):
            raise Wrong(f"bitrate({rate}, {values}) should be a number, got {got!r}")
        want = rate * np.log2(values)
        if abs(got - want) > 1e-6 * want:
            raise Wrong(f"value: bitrate({rate}, {values}) is {got:g}, expected {want:g}")
    return "16-bit sound at 24 kHz: 384,000 bit/s. Mimi's 100 codes a second, each one of 2,048: 1,100 bit/s."


@exercise(
    "01",
    hint="wav.unfold(-1, n_fft, hop) gives the windows [T, n_fft]; then window, rfft, abs, and bins first.",
)
def stft(answer: Any, generator: torch.Generator) -> str:
    """`answer(wav [S], n_fft, hop) -> [n_fft // 2 + 1, T]`: magnitudes, Hann window, no padding."""
    for n_fft, hop in ((400, 100), (512, 512), (600, 240)):
        wav = torch.randn(draw(generator, 1500, 3000), generator=generator)
        got = call(answer, wav, n_fft, hop)
        want = torch.stft(wav, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True).abs()
        want_shape(got, tuple(want.shape), "[bins, T]")
        want_close(got, want, "the spectrogram", within=1e-3)
    return "The same numbers as torch.stft, for windows that overlap and windows that do not."


@exercise(
    "01",
    hint="frequencies repeat every `rate`; take the remainder, then fold what lies above rate / 2 back down.",
)
def alias(answer: Any, generator: torch.Generator) -> str:
    """`answer(hz, rate) -> float`: the frequency heard when a tone of `hz` is sampled unfiltered."""
    cases = [(1000, 8000), (7000, 8000), (4000, 8000), (9000, 8000), (23000, 24000), (0, 8000)]
    cases += [(draw(generator, 0, 50_000), draw(generator, 2_000, 20_000)) for _ in range(20)]
    for hz, rate in cases:
        got = call(answer, hz, rate)
        if isinstance(got, (torch.Tensor, np.generic)):
            got = got.item()
        folded = min(hz % rate, rate - hz % rate)
        if not isinstance(got, (int, float)) or abs(got - folded) > 1e-6:
            raise Wrong(f"value: alias({hz}, {rate}) is {got!r}, expected {folded}")
    return "Below half the rate a tone stays itself; above, it is mirrored down."


def mystery_clips(wav: torch.Tensor, rate: int = 6_000) -> dict[str, torch.Tensor]:
    """Three ways to bring a sound of 24 kHz `[1, S]` down to 6 kHz, in an order to be found out by ear."""
    step = 24_000 // rate
    careful = torch.from_numpy(librosa.resample(wav.numpy(), orig_sr=24_000, target_sr=rate))
    narrow = torch.from_numpy(
        librosa.resample(
            librosa.resample(wav.numpy(), orig_sr=24_000, target_sr=rate // 2),
            orig_sr=rate // 2,
            target_sr=rate,
        )
    )
    return {"A": narrow, "B": careful, "C": wav[:, ::step]}


@exercise(
    "01",
    hint="A folded s turns into a chirp that no throat makes. Listen to the end of “monkeys” (or look: 1.6 s).",
)
def aliasing_by_ear(answer: Any, generator: torch.Generator) -> str:
    """The letter of the clip that was thinned out without a filter."""
    if answer not in ("A", "B", "C"):
        raise Wrong(f'expected "A", "B" or "C", got {answer!r}')
    if answer == "A":
        raise Wrong("A is dull, but honest: it lost everything above 1.5 kHz and added nothing")
    if answer == "B":
        raise Wrong("B was filtered with care before it was thinned out: it added nothing")
    return "Every fourth sample, no filter: what lay above 3 kHz is still there, at the wrong place."
