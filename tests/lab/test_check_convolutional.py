"""The checks of notebook 04: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch
from torch.nn.functional import conv_transpose1d

from minimoshi.config import MimiConfig
from minimoshi.lab import check
from minimoshi.lab.check.convolutional import MIMI, ORDER
from minimoshi.lab.check.core import NOT_TRIED
from minimoshi.mimi import MimiAudioCodec
from minimoshi.nn import StreamingConv1d
from tests.exercises import ExerciseTests


def walk(layers):
    per_step, seen = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * per_step
        per_step *= stride
    return per_step, seen


def multiplies_too_early(layers):
    per_step, seen = 1, 1
    for kernel, stride in layers:
        per_step *= stride
        seen += (kernel - 1) * per_step
    return per_step, seen


def upsample(x, weight, bias, unfinished, stride):
    overlap, steps = unfinished.shape[-1], x.shape[-1] * stride
    y = conv_transpose1d(x[None], weight, None, stride)[0]
    y[:, :overlap] += unfinished
    return y[:, :steps] + bias[:, None], y[:, steps:]


def bias_twice(x, weight, bias, unfinished, stride):
    y = conv_transpose1d(x[None], weight, bias, stride)[0]
    y[:, : unfinished.shape[-1]] += unfinished
    return y[:, : x.shape[-1] * stride], y[:, x.shape[-1] * stride :]


def forgets(x, weight, bias, unfinished, stride):
    return upsample(x, weight, bias, torch.zeros_like(unfinished), stride)


def without_bias(x, weight, bias, unfinished, stride):
    return upsample(x, weight, torch.zeros_like(bias), unfinished, stride)


def spectra(wav, target, n_fft):
    window = torch.hann_window(n_fft)
    return [torch.stft(s, n_fft, n_fft // 4, window=window, center=False, return_complex=True) for s in (wav, target)]


def distance(wav, target, n_fft):
    a, b = spectra(wav, target, n_fft)
    return (a.abs() ** 0.3 - b.abs() ** 0.3).abs().mean()


def phase_counts(wav, target, n_fft):
    a, b = spectra(wav, target, n_fft)
    return (a - b).abs().pow(0.3).mean()


def not_compressed(wav, target, n_fft):
    a, b = spectra(wav, target, n_fft)
    return (a.abs() - b.abs()).abs().mean()


SOLUTIONS = {
    "receptive_field": walk,
    "upsample_step": upsample,
    "spectral_distance": distance,
    "losses_by_ear": dict(ORDER),
}
MISTAKES = [
    ("receptive_field", multiplies_too_early, "its own stride comes in only afterwards"),
    ("receptive_field", lambda layers: walk(layers)[1], "return two numbers"),
    ("receptive_field", lambda layers: (1, walk(layers)[1]), "samples per step"),
    ("receptive_field", lambda layers: (walk(layers)[0], float(walk(layers)[1])), "is a float"),
    ("upsample_step", bias_twice, "the bias was added twice"),
    ("upsample_step", forgets, "were never added"),
    ("upsample_step", without_bias, "the bias is missing"),
    ("upsample_step", lambda *arguments: upsample(*arguments)[0], "return two things"),
    ("spectral_distance", phase_counts, "so that phase counts"),
    ("spectral_distance", not_compressed, "not compressed"),
    ("spectral_distance", lambda *arguments: distance(*arguments).item(), "should be a tensor"),
    ("losses_by_ear", {**ORDER, "A": "both"}, "A is not both"),
    ("losses_by_ear", {**ORDER, "B": ...}, "B is not answered"),
    ("losses_by_ear", {**ORDER, "C": "loud"}, "got 'loud'"),
    ("losses_by_ear", "C", "expected a dictionary"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("04",), SOLUTIONS, MISTAKES


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried_and_raises_nothing(name: str) -> None:
    stub = dict.fromkeys("ABC", ...) if name == "losses_by_ear" else lambda *arguments: ...
    assert check.EXERCISES[name].verdict(stub).state == NOT_TRIED


def test_two_untouched_results_are_not_tried() -> None:
    assert check.upsample_step.verdict(lambda *arguments: (..., ...)).state == NOT_TRIED
    assert check.receptive_field.verdict(lambda layers: (..., ...)).state == NOT_TRIED


@pytest.mark.parametrize("preset", ["tiny", "full"])
def test_the_layers_in_the_check_are_those_of_the_codec(preset: str) -> None:
    with torch.device("meta"):
        codec = MimiAudioCodec(MimiConfig.preset(preset))
    layers = [m for m in [*codec.encoder.modules(), codec.downsample] if isinstance(m, StreamingConv1d)]
    assert [(m.kernel_size[0], m.stride[0]) for m in layers if m.kernel_size[0] > 1] == MIMI


def test_mystery_losses_are_the_sounds_under_letters() -> None:
    sounds = {name: torch.full((4,), float(i)) for i, name in enumerate(("waveform", "mel", "both"))}
    assert check.mystery_losses(sounds) == {letter: sounds[name] for letter, name in ORDER.items()}
    with pytest.raises(ValueError, match="expected sounds named"):
        check.mystery_losses({"mel": sounds["mel"]})
