"""Teachers: principal components, and targets that need no future."""

import numpy as np
import pytest
import torch

from minimoshi.data.corpus import SpeechCrops
from minimoshi.data.voices import PHONES
from minimoshi.training.teachers import (
    SpeechTeacher,
    fit_statistics,
    train_phone_net,
)
from minimoshi.training.teachers.axes import phone_axes
from tests.speech_toys import toy_corpus


@pytest.fixture
def batches(tmp_path, monkeypatch):
    toy_corpus(tmp_path, monkeypatch)
    crops = SpeechCrops(tmp_path, {"heart": 0.5, "crowd": 0.5}, steady=("heart",))

    def draw(rng: np.random.Generator, spoken: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        wav, phones = crops.batch(rng, 8, 12 * 1920, spoken)
        return torch.from_numpy(wav), torch.from_numpy(phones)

    return draw


def test_teachers_learn_phones_and_give_unit_variance(batches):
    torch.manual_seed(0)
    teacher = SpeechTeacher(dim=12)
    phones = np.concatenate([batches(np.random.default_rng(seed))[1].numpy().ravel() for seed in range(9)])
    commonest = np.bincount(phones).max() / len(phones)
    assert train_phone_net(teacher, batches, seconds=0, steps=80) > 1.5 * commonest
    semantic, acoustic = fit_statistics(teacher, batches, frames=400)
    assert semantic.shape == acoustic.shape == (400, 12)
    for latent in (semantic, acoustic):
        assert float(latent.std()) == pytest.approx(1.0, rel=0.02)
        assert float(latent.mean(0).abs().max()) < 1e-2
    wav, _ = batches(np.random.default_rng(9))
    columns = teacher.loudness(wav)
    rebuilt = teacher.to_loudness(teacher(wav)[1])
    assert rebuilt.shape == columns.shape
    assert float((rebuilt - columns).square().mean() / columns.var()) < 0.3


class _Listener:
    """Hears a phone in five of its features, and in all the others, louder, who is speaking."""

    dim, causal = 20, True

    def __init__(self, phones: torch.Tensor):
        generator = torch.Generator().manual_seed(0)
        self.clean = torch.randn(len(PHONES), 5, generator=generator)[phones.clamp(min=0)]
        self.features = torch.cat([self.clean, 4 * torch.randn(*phones.shape, 15, generator=generator)], dim=-1)
        self.features += 0.1 * torch.randn(self.features.shape, generator=generator)

    def __call__(self, wav: torch.Tensor) -> torch.Tensor:
        return self.features


def test_the_axes_of_a_teacher_hold_the_phones_and_not_the_speaker(batches):
    wav, phones = batches(np.random.default_rng(0), True)
    listener = _Listener(phones)
    teacher = SpeechTeacher(dim=8, listener=listener)
    semantic, _ = fit_statistics(teacher, lambda rng, spoken: (wav, phones), frames=phones.numel())
    assert teacher.phone_net is None and semantic.shape == (phones.numel(), 8)
    assert float(semantic.std()) == pytest.approx(1.0, rel=0.02)
    torch.testing.assert_close(teacher(wav)[0].flatten(0, 1), semantic, atol=1e-4, rtol=1e-4)

    def explained(found: torch.Tensor, wanted: torch.Tensor) -> float:
        centred = wanted - wanted.mean(0)
        rest = centred - found @ torch.linalg.lstsq(found, centred).solution
        return 1 - float(rest.square().sum() / centred.square().sum())

    clean, speaker = listener.clean.flatten(0, 1), listener.features[..., 5:].flatten(0, 1)
    assert explained(semantic[:, :5], clean) > 0.9 and explained(semantic[:, :5], speaker) < 0.2


def test_axes_say_what_they_need():
    features, nothing = torch.randn(10, 4), torch.full((10,), -100)
    with pytest.raises(ValueError, match="no frame has a known phone"):
        phone_axes(features, nothing, 3)
    with pytest.raises(ValueError, match="axes"):
        phone_axes(features, torch.zeros(10, dtype=torch.long), len(PHONES))


def test_teachers_need_no_future():
    torch.manual_seed(0)
    teacher = SpeechTeacher(dim=12).eval()
    wav = torch.randn(1, 1, 6 * 1920) * 0.1
    with torch.no_grad():
        for whole, part in zip(teacher(wav), teacher(wav[..., : 3 * 1920]), strict=True):
            torch.testing.assert_close(whole[:, :3], part, atol=1e-4, rtol=1e-4)


def test_silence_is_zero():
    teacher, silence = SpeechTeacher(dim=12), torch.zeros(1, 1, 1920)
    assert float(teacher.columns(silence).abs().max()) < 0.01
    assert float(teacher.loudness(silence).abs().max()) < 0.05  # a whole voice is near 2


def test_loudness_of_a_sound_ten_times_as_strong_is_twice():
    teacher, tone = SpeechTeacher(dim=12), 0.05 * torch.sin(torch.arange(4 * 1920) * 0.3)[None, None]
    soft, strong = (teacher.loudness(gain * tone)[0, :, 4:].max() for gain in (1.0, 10.0))
    assert float(strong / soft) == pytest.approx(10**0.3, rel=0.05)
    columns = teacher.loudness(tone)
    mel = teacher.loudness.magnitudes(columns)
    assert float(mel.max()) == pytest.approx(float(columns.max()) ** (1 / 0.3), rel=1e-4)


def test_a_plain_teacher_distils_nothing():
    wav = torch.randn(3, 1, 20 * 1920, generator=torch.Generator().manual_seed(0))
    teacher = SpeechTeacher(dim=12, plain=True)
    semantic, acoustic = fit_statistics(teacher, lambda rng, spoken: (wav, torch.zeros(3, 20, dtype=torch.long)), 60)
    assert teacher.phone_net is None and torch.allclose(semantic, acoustic)
    assert torch.allclose(*teacher(wav)) and not torch.allclose(teacher(wav)[0], torch.zeros(()))
    with pytest.raises(ValueError, match="no listener"):
        SpeechTeacher(dim=12, listener=lambda wav: wav, plain=True)
