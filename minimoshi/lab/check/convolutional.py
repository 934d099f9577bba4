"""Checks of notebook 04, the convolutional codec."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose1d

from .core import NotTried, Wrong, call, describe, exercise, want_close, want_equal, want_shape
from .sound import draw
from .streaming import random_split

KERNELS, STRIDES = (7, 3, 8, 3, 10, 3, 12, 3, 16, 3, 4), (1, 1, 4, 1, 5, 1, 6, 1, 8, 1, 2)
MIMI = list(zip(KERNELS, STRIDES, strict=True))  # its encoder, from the samples to 12.5 Hz; the same in every preset


def reach(layers: list[tuple[int, int]]) -> tuple[int, int]:
    """(samples per step, samples seen by a step) of a chain of (kernel, stride)."""
    steps = [math.prod(stride for _, stride in layers[:n]) for n in range(len(layers) + 1)]
    return steps[-1], 1 + sum((kernel - 1) * step for (kernel, _), step in zip(layers, steps, strict=False))


@exercise("04", hint="go layer by layer: add (kernel − 1) · samples per step *before* you multiply by the stride.")
def receptive_field(answer: Any, generator: torch.Generator) -> str:
    """`answer(layers) -> (samples per step, samples seen)` for a chain of (kernel, stride), first to last."""
    cases = [[(3, 1)], [(7, 1), (8, 4)], [], MIMI]
    for _ in range(8):
        strides = [draw(generator, 1, 6) for _ in range(draw(generator, 2, 6))]
        cases.append([(stride + draw(generator, 0, 7), stride) for stride in strides])
    for layers in cases:
        got, (per_step, seen) = call(answer, list(layers)), reach(layers)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Wrong(f"return two numbers, samples per step and samples seen, got {describe(got)}")
        case = f"of {'Mimi' if layers == MIMI else layers}"
        want_equal(got[0], per_step, f"samples per step {case}")
        too_early = 1 + sum((k - 1) * reach(layers[: n + 1])[0] for n, (k, _) in enumerate(layers))
        if got[1] == too_early != seen:
            raise Wrong(
                f"value: samples seen {case} is {got[1]}, expected {seen}: a layer's kernel counts steps of the layer "
                "before it, so its own stride comes in only afterwards"
            )
        want_equal(got[1], seen, f"samples seen {case}")
    return "One frame of Mimi: 1,920 samples of its own, 7,160 that its convolutions look at."


@exercise("04", hint="conv_transpose1d without a bias; add `unfinished` at the front, cut, and only then add the bias.")
def upsample_step(answer: Any, generator: torch.Generator) -> str:
    """`answer(x [C, T], weight [C, C', k], bias [C'], unfinished [C', k-s], stride s) -> (y [C', T·s], unfinished)`."""
    for kernel, stride in ((4, 2), (5, 2), (7, 2), (3, 3)):
        x, weight = torch.randn(3, 17, generator=generator), torch.randn(3, 2, kernel, generator=generator)
        bias, case = 1 + torch.rand(2, generator=generator), f"(kernel {kernel}, stride {stride})"
        want = conv_transpose1d(x[None], weight, bias, stride)[0, :, : 17 * stride]
        unfinished, made = torch.zeros(2, kernel - stride), 0
        for places in random_split(torch.arange(17), generator):
            before = unfinished.clone()
            result = call(answer, x[:, places], weight, bias, unfinished, stride)
            if not isinstance(result, tuple) or len(result) != 2:
                raise Wrong("shape: return two things, the finished outputs and the new unfinished ones")
            y, unfinished = result
            steps = len(places) * stride
            want_shape(y, (2, steps), "[C', T·stride]", f"the outputs {case}")
            want_shape(unfinished, (2, kernel - stride), "[C', kernel − stride]", f"the new unfinished {case}")
            expected = want[:, made : made + steps]
            _explain(y, expected, before, bias, case)
            want_close(y, expected, f"the outputs from step {made} on {case}")
            made += steps
    return "The law of chunks holds: strokes overlap across every cut, and the bias is added once."


def _explain(y: Tensor, want: Tensor, before: Tensor, bias: Tensor, case: str) -> None:
    """Wrong, with the reason where it is a known one."""
    if torch.allclose(y, want, atol=1e-4):
        return
    if torch.allclose(y + bias[:, None], want, atol=1e-4):
        raise Wrong(f"value: the bias is missing {case}")
    overlap = min(before.shape[-1], y.shape[-1])
    gap = y[:, :overlap] - want[:, :overlap]
    if torch.allclose(gap, bias[:, None].expand_as(gap), atol=1e-4):
        raise Wrong(
            f"value: at the seams the bias was added twice {case}: once by this chunk, once within `unfinished`; "
            "keep the unfinished outputs without it"
        )
    if before.any() and torch.allclose(gap, -before[:, :overlap], atol=1e-4):
        raise Wrong(f"value: the unfinished outputs of the last chunk were never added {case}")


@exercise("04", hint="torch.stft(..., center=False, return_complex=True).abs() ** 0.3 of both; mean of |difference|.")
def spectral_distance(answer: Any, generator: torch.Generator) -> str:
    """`answer(wav [S], target [S], n_fft) -> scalar`: mean |difference| of |STFT| ** 0.3, hop n_fft // 4."""
    for n_fft in (256, 512):
        wav, target = torch.randn(2, 4 * n_fft + draw(generator, 0, 400), generator=generator)
        first, second = (
            torch.stft(sound, n_fft, n_fft // 4, window=torch.hann_window(n_fft), center=False, return_complex=True)
            for sound in (wav, target)
        )
        got = call(answer, wav, target, n_fft)
        if not isinstance(got, Tensor):
            raise Wrong(f"shape: the distance should be a tensor with one number, got {describe(got)}")
        want_shape(got, (), "[], one number,", "the distance")
        if torch.allclose(got, (first - second).abs().pow(0.3).mean(), atol=1e-4):
            raise Wrong("value: the spectra were subtracted before the magnitude was taken, so that phase counts")
        if torch.allclose(got, (first.abs() - second.abs()).abs().mean(), atol=1e-4):
            raise Wrong("value: the magnitudes are not compressed; raise both to the power 0.3")
        want_close(got, (first.abs() ** 0.3 - second.abs() ** 0.3).abs().mean(), "the distance", within=1e-4)
        mirrored = call(answer, -wav, wav, n_fft)
        if float(mirrored) > 1e-5:
            raise Wrong("value: a wave turned upside down sounds the same, and should be at a distance of 0")
    return "Blind to where in its swing a wave begins, and gentle with what is loud."


ORDER = {"A": "mel", "B": "both", "C": "waveform"}
HEARD = {
    "waveform": "its voice is full and steady, but it hisses: a loss on samples hardly notices what is faint",
    "mel": "it has no hiss, but a rough, thin voice: a loss on mel never asked when a wave begins",
    "both": "it has neither the hiss nor the roughness of the other two",
}


def mystery_losses(sounds: dict[str, Tensor]) -> dict[str, Tensor]:
    """{"waveform": …, "mel": …, "both": …} under the letters A, B and C, in an order to be found out by ear."""
    if set(sounds) != set(HEARD):
        raise ValueError(f"expected sounds named {', '.join(HEARD)}, got {', '.join(sounds)}")
    return {letter: sounds[name] for letter, name in ORDER.items()}


@exercise("04", hint="listen to the pauses first (who hisses?), then to a long vowel (who is rough?).")
def losses_by_ear(answer: Any, generator: torch.Generator) -> str:
    """`{"A": "mel", …}`: which loss, "waveform", "mel" or "both", trained the decoder of each version."""
    if not isinstance(answer, dict) or set(answer) != set(ORDER):
        raise Wrong("expected a dictionary with the versions A, B and C")
    if all(given is Ellipsis for given in answer.values()):
        raise NotTried
    faults = []
    for letter, right in ORDER.items():
        given = answer[letter]
        if given is Ellipsis:
            faults.append(f"{letter} is not answered")
        elif given not in HEARD:
            faults.append(f"{letter} should be one of {', '.join(HEARD)}, got {given!r}")
        elif given != right:
            faults.append(f"{letter} is not {given}; {HEARD[right]}")
    if faults:
        raise Wrong("; ".join(faults))
    return "Each loss leaves behind what it does not hear."
