"""The mel loss: zero on itself, growing with the distance, blind to what it should be blind to."""

import math

import pytest
import torch

from minimoshi.training.losses import LogMel, MelLoss


def speech_like(seed: int = 0, seconds: float = 0.5) -> torch.Tensor:
    """A harmonic sound with a wandering pitch, [1, S]."""
    generator = torch.Generator().manual_seed(seed)
    samples = int(24_000 * seconds)
    pitch = 150 + 40 * torch.randn(8, generator=generator).repeat_interleave(samples // 8)
    phase = 2 * math.pi * torch.cumsum(pitch, 0) / 24_000
    return sum(torch.sin(k * phase) / k for k in range(1, 20))[None] * 0.05


def test_the_loss_of_a_sound_with_itself_is_zero():
    sound = speech_like()
    assert float(MelLoss()(sound, sound)) == pytest.approx(0.0, abs=1e-6)


def test_the_loss_grows_with_the_noise():
    sound, loss = speech_like(), MelLoss()
    noise = torch.randn(sound.shape, generator=torch.Generator().manual_seed(1))
    losses = [float(loss(sound + level * noise, sound)) for level in (0.0, 1e-4, 1e-3, 1e-2, 1e-1)]
    assert losses == sorted(losses)
    assert losses[-1] > 10 * losses[1]


def test_the_loss_hears_energies_not_phases():
    sound, loss = speech_like(), MelLoss()
    assert float(loss(-sound, sound)) < 1e-3
    assert float(loss(2 * sound, sound)) > 0.3


def test_the_loss_has_a_useful_gradient():
    sound, loss = speech_like(), MelLoss()
    guess = (torch.randn(sound.shape, generator=torch.Generator().manual_seed(1)) * 0.01).requires_grad_()
    optimizer = torch.optim.Adam([guess], 1e-2)
    first = None
    for _ in range(30):
        value = loss(guess, sound)
        first = first or float(value.detach())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert float(loss(guess.detach(), sound)) < 0.6 * first


def test_sounds_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"\[1, 100\] and \[1, 200\]"):
        MelLoss()(torch.zeros(1, 100), torch.zeros(1, 200))


def test_silence_is_the_floor():
    mel = LogMel(1024, 480, 56, causal=True, floor=5e-3)
    assert float((mel(torch.zeros(1, 4800)) - math.log(5e-3)).abs().max()) < 0.01


def test_a_causal_spectrum_needs_no_future():
    mel, sound = LogMel(1024, 480, 56, causal=True), speech_like()[:, :9600]
    assert mel(sound).shape == (1, 56, 20)
    torch.testing.assert_close(mel(sound[:, :4800]), mel(sound)[..., :10])


def test_a_tone_is_in_its_band():
    time = torch.arange(9600) / 24_000
    mel = LogMel(1024, 480, 56)
    bands = [int(mel(torch.sin(2 * math.pi * f * time)[None])[0, :, 10].argmax()) for f in (300, 1000, 5000)]
    assert bands == sorted(bands) and len(set(bands)) == 3
    centres = mel.filters.argmax(1) * 24_000 / 1024
    assert float(centres[bands[1]]) == pytest.approx(1000, rel=0.08)
