"""Teachers: principal components, and targets that need no future."""

import numpy as np
import pytest
import torch

from minimoshi.data.corpus import SpeechCrops
from minimoshi.training.teachers import (
    SpeechTeacher,
    fit_statistics,
    train_phone_net,
)
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
