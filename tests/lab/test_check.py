"""The checks of the exercises: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv1d, pad

from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED, RIGHT
from tests.exercises import ExerciseTests


def fold(hz, rate):
    return min(hz % rate, rate - hz % rate)


def spectrogram(wav, n_fft, hop):
    return torch.fft.rfft(wav.unfold(-1, n_fft, hop) * torch.hann_window(n_fft)).abs().T


def streaming(x, weights, past, dilation):
    joined = torch.cat([past, x])
    y = conv1d(joined[None, None], weights[None, None], dilation=dilation)[0, 0]
    return y, joined[len(joined) - len(past) :]


def cuts_with_minus_zero(x, weights, past, dilation):
    return streaming(x, weights, past, dilation)[0], torch.cat([past, x])[-len(past) :]


def guard(module, n):
    x = torch.randn(n, generator=torch.Generator().manual_seed(5))
    for t in range(n - 1):
        for size in (1e3, -1e3):
            changed = torch.cat([x[: t + 1], x[t + 1 :] + size])
            if not torch.allclose(module(x)[: t + 1], module(changed)[: t + 1], atol=1e-4):
                return False
    return True


class Ring:
    def __init__(self, context, dim):
        self.context, self.steps = context, 0
        self.keys, self.values = torch.zeros(context, dim), torch.zeros(context, dim)

    def push(self, k, v):
        self.keys[self.steps % self.context], self.values[self.steps % self.context] = k, v
        self.steps += 1
        filled = min(self.steps, self.context)
        return self.keys[:filled], self.values[:filled]


class GrowingList(Ring):
    def push(self, k, v):
        self.seen = [*getattr(self, "seen", []), (k, v)]
        return super().push(k, v)


class ForgetsOldest(Ring):
    def push(self, k, v):
        keys, values = super().push(k, v)
        return keys[-3:], values[-3:]


def first_word(grid):
    speaks = (grid[0] != 3) & (grid[0] != 0)
    return int(speaks.int().argmax()) if speaks.any() else -1


def divides_by_zero(samples):
    return samples / 0


def transforms_nothing(wav, n_fft, hop):
    empty = wav[:0]
    return torch.fft.rfft(empty)


ALL_RIGHT = {1: "b", 2: "c", 3: "a", 4: "b", 5: "c", 6: "a"}

SOLUTIONS = {
    "frame_count": lambda samples: -(-samples // 1920),
    "bitrate": lambda rate, values: rate * float(torch.tensor(float(values), dtype=torch.float64).log2()),
    "stft": spectrogram,
    "alias": fold,
    "aliasing_by_ear": "C",
    "conv_step": streaming,
    "peek": lambda x: pad(x, (0, 1))[1:],
    "is_causal": guard,
    "window_cache": Ring,
    "environment": 0,
    "moshi_starts": first_word,
    "self_test": ALL_RIGHT,
}

# an answer that is wrong, and what the student should read
MISTAKES = [
    ("frame_count", lambda samples: samples // 1920, "value: frame_count(1) is 0, expected 1"),
    ("frame_count", lambda samples: -(-samples // 1920) / 1, "float"),
    ("frame_count", lambda samples: None, "return"),
    ("frame_count", divides_by_zero, "ZeroDivisionError: division by zero at `return samples / 0`"),
    ("stft", transforms_nothing, "at `return torch.fft.rfft(empty)`"),
    ("bitrate", lambda rate, values: rate * values, "value: bitrate(24000, 65536)"),
    ("stft", lambda wav, n_fft, hop: spectrogram(wav, n_fft, hop).T, "axes are swapped"),
    ("stft", lambda wav, n_fft, hop: spectrogram(wav, n_fft, hop).numpy().tolist(), "should be a tensor"),
    ("stft", lambda wav, n_fft, hop: torch.fft.rfft(wav.unfold(-1, n_fft, hop)).abs().T, "value: the spectro"),
    (
        "stft",
        lambda wav, n_fft, hop: torch.fft.rfft(wav.unfold(-1, n_fft, hop) * torch.hann_window(n_fft)).T,
        "complex",
    ),
    ("alias", lambda hz, rate: hz, "value: alias(7000, 8000) is 7000, expected 1000"),
    ("aliasing_by_ear", "A", "honest"),
    ("aliasing_by_ear", "D", 'expected "A", "B" or "C"'),
    ("conv_step", lambda x, weights, past, d: (streaming(x, weights, past, d)[0], x[-len(past) :]), "past"),
    ("conv_step", lambda x, weights, past, d: streaming(x, weights, torch.zeros_like(past), d), "from sample"),
    ("conv_step", lambda x, weights, past, d: streaming(x, weights, past, d)[0], "two things"),
    ("conv_step", cuts_with_minus_zero, "[-0:] is everything"),
    ("peek", lambda x: x, "does not notice"),
    ("peek", lambda x: x + pad(x, (0, 1))[1:], "has no next input"),
    ("peek", lambda x: x + x.flip(0), "output"),
    ("is_causal", lambda module, n: True, "a centred convolution"),
    ("is_causal", lambda module, n: False, "a causal convolution"),
    ("window_cache", GrowingList, "memory: `seen`"),
    ("window_cache", ForgetsOldest, "shape"),
    ("environment", 1, "value"),
    ("moshi_starts", lambda grid: first_word(grid) - 1, "EPAD"),
    ("moshi_starts", lambda grid: int(((grid[0] != 3) & (grid[0] != 0)).int().argmax()), "says nothing"),
    ("self_test", {**ALL_RIGHT, 2: "b"}, "cannot hear"),
    ("self_test", {**ALL_RIGHT, 4: ...}, "not answered: 4"),
]


@pytest.mark.parametrize("written", [{1: "B", 2: "(c)"}, {3: " a ", 6: "(A)"}])
def test_the_self_test_takes_letters_as_people_write_them(written: dict) -> None:
    assert check.self_test.verdict({**ALL_RIGHT, **written}).state == RIGHT


def test_an_alias_may_be_a_number_of_numpy_or_torch() -> None:
    assert check.alias.verdict(lambda hz, rate: np.int64(fold(hz, rate))).state == RIGHT
    assert check.alias.verdict(lambda hz, rate: torch.tensor(fold(hz, rate))).state == RIGHT


def test_a_guard_may_set_the_future_to_a_hundred() -> None:
    def sets(module, n):
        x = torch.ones(n)
        futures = [(t, torch.full((n - t - 1,), size)) for t in range(n) for size in (-100.0, 100.0)]
        return all(
            torch.allclose(module(x)[: t + 1], module(torch.cat([x[: t + 1], future]))[: t + 1])
            for t, future in futures
        )

    assert check.is_causal.verdict(sets).state == RIGHT


def test_a_verdict_neither_depends_on_the_global_seed_nor_moves_it() -> None:
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        check.alias.verdict(lambda hz, rate: drawn.append(torch.rand(3)) or fold(hz, rate))
        assert torch.equal(torch.get_rng_state(), before)
    first, second = torch.stack(drawn).chunk(2)
    assert torch.equal(first, second)


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("00", "01", "03",), SOLUTIONS, MISTAKES


class Stub:
    def __init__(self, context, dim):
        pass

    def push(self, k, v):
        return ..., ...


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried_and_raises_nothing(name: str, capsys: pytest.CaptureFixture) -> None:
    stubs = {"window_cache": Stub, "self_test": dict.fromkeys(range(1, 7), ...)}
    takes_value = name in ("aliasing_by_ear", "environment")
    stub = stubs.get(name, ... if takes_value else lambda *arguments: ...)
    assert check.EXERCISES[name].verdict(stub).state == NOT_TRIED
    check.EXERCISES[name](stub)
    assert capsys.readouterr().out == f"· {name}: not tried yet\n"


def test_a_stub_of_several_results_is_not_tried() -> None:
    assert check.conv_step.verdict(lambda *arguments: (..., ...)).state == NOT_TRIED


def test_checking_prints_one_verdict(capsys: pytest.CaptureFixture) -> None:
    check.alias(fold)
    check.alias(lambda hz, rate: hz)
    right, wrong, hint = capsys.readouterr().out.splitlines()
    assert right.startswith("✓ alias: right") and wrong.startswith("✗ alias: wrong")
    assert hint.startswith("  hint:")


def test_mystery_clips_differ_only_in_care() -> None:
    wav = torch.randn(1, 24_000, generator=torch.Generator().manual_seed(0))
    clips = check.mystery_clips(wav)
    assert {name: sound.shape[-1] for name, sound in clips.items()} == {"A": 6_000, "B": 6_000, "C": 6_000}
    assert torch.equal(clips["C"], wav[:, ::4])
    assert clips["A"].square().mean() < clips["B"].square().mean() < clips["C"].square().mean()


ODD = [7, "yes", None, [], {}, (1, 2), {"a": None}, [[1], 2], torch.ones(2, 3), np.float32(1), object(), Stub]
ODD_RESULTS = [7, "yes", [], (1, 2, 3), {}, torch.ones(2, 3), torch.tensor(1), np.ones(4), object()]


@pytest.mark.parametrize("name", check.EXERCISES)
def test_no_answer_is_too_odd_to_be_judged(name: str) -> None:
    for answer in ODD + [lambda *arguments, result=result: result for result in ODD_RESULTS]:
        verdict = check.EXERCISES[name].verdict(answer)
        assert verdict.state != RIGHT and (verdict.state == NOT_TRIED or verdict.message)
