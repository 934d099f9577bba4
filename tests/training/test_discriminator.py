"""The critic: shapes, the hinge by hand, and that it learns to tell real from made."""

import pytest
import torch

from minimoshi.training.discriminator import (
    MultiScaleSTFTDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)

SCALES = ((256, 64), (128, 32))


def tones(batch: int, seed: int) -> torch.Tensor:
    pitch = 0.05 + 0.1 * torch.rand(batch, 1, 1, generator=torch.Generator().manual_seed(seed))
    return 0.3 * torch.sin(torch.arange(2400) * pitch)


def test_each_scale_judges_a_map_of_time_and_frequency():
    critic = MultiScaleSTFTDiscriminator(4)
    logits, features = critic(torch.randn(2, 1, 4800))
    assert len(logits) == len(features) == 5
    frames = 1 + (4800 - 2048) // 512
    assert logits[0].shape == (2, 1, frames, 129)  # 1025 bins, halved three times
    assert [len(part) for part in features] == [5] * 5
    assert all(f.shape[1] == 4 for part in features for f in part)


def test_it_is_the_official_size_at_32_filters():
    parts = MultiScaleSTFTDiscriminator(32).parts
    weights = [p for name, p in parts[0].named_parameters() if "original1" in name]
    assert [tuple(w.shape) for w in weights] == [(32, 2, 3, 9), *[(32, 32, 3, 9)] * 3, (32, 32, 3, 3), (1, 32, 3, 3)]


def test_hinge_by_hand():
    real, fake = [torch.tensor([2.0, 0.5])], [torch.tensor([-3.0, 0.0])]
    assert float(discriminator_loss(real, fake)) == pytest.approx(0.25 + 0.5)
    assert float(generator_loss(fake)) == pytest.approx(1.5)
    zeros = [torch.zeros(3)]
    assert float(discriminator_loss(zeros, zeros)) == pytest.approx(2)


@torch.no_grad()
def test_matching_features_of_equal_sounds_are_equal():
    critic = MultiScaleSTFTDiscriminator(4, SCALES)
    features, other = critic(tones(2, 0))[1], critic(tones(2, 1))[1]
    assert float(feature_matching_loss(features, features)) == 0
    assert float(feature_matching_loss(features, other)) > 0.01


def test_real_features_get_no_gradient():
    real = torch.randn(3, requires_grad=True)
    fake = torch.randn(3, requires_grad=True)
    feature_matching_loss([[real]], [[fake]]).backward()
    assert real.grad is None and fake.grad is not None


def test_it_learns_to_tell_tones_from_noise():
    torch.manual_seed(0)
    critic = MultiScaleSTFTDiscriminator(4, SCALES)
    optimiser = torch.optim.Adam(critic.parameters(), 1e-2, betas=(0.5, 0.9))
    losses = []
    for step in range(50):
        loss = discriminator_loss(critic(tones(4, step))[0], critic(0.2 * torch.randn(4, 1, 2400))[0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(2, abs=0.3) and losses[-1] < 0.4 * losses[0]


def test_a_sound_shorter_than_the_window_is_refused():
    with pytest.raises(ValueError, match="S at least 256, got"):
        MultiScaleSTFTDiscriminator(4, SCALES)(torch.zeros(1, 1, 100))
