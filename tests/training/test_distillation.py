"""Distillation: it teaches the semantic level and no other, at any scale, with or without labels."""

import math

import pytest
import torch
from torch.nn import functional as F

from minimoshi.training.distillation import MODES, Distillation, cosine_distance, phone_loss


def toy(mode: str, batch: int = 4, frames: int = 25, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents [B, F, 6] and targets that depend on their direction: features [B, F, 5], or phones [B, F]."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(batch, frames, 6, generator=generator)
    truth = torch.randn(6, 5, generator=torch.Generator().manual_seed(99))
    features = F.layer_norm(latent, (6,)) @ truth
    return latent, features.argmax(-1) if mode == "phones" else features


def learn(loss: Distillation, mode: str, steps: int = 150) -> tuple[float, float]:
    """(loss on other data before, after) teaching the head."""
    held_out = toy(mode, seed=1)
    before = float(loss(*held_out).detach())
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    for step in range(steps):
        optimizer.zero_grad()
        loss(*toy(mode, seed=2 + step % 8)).backward()
        optimizer.step()
    return before, float(loss(*held_out).detach())


@pytest.mark.parametrize("mode", MODES)
def test_the_head_learns_what_the_latent_says(mode):
    before, after = learn(Distillation(6, 5, mode), mode)
    assert before == pytest.approx(math.log(5) if mode == "phones" else 1.0, rel=0.02)
    assert after < 0.35 * before


@pytest.mark.parametrize("mode", MODES)
def test_gradient_reaches_the_semantic_level_and_nothing_else(mode):
    latent, targets = toy(mode)
    loss = Distillation(6, 5, mode)
    semantic, acoustic = latent.clone().requires_grad_(), latent.clone().requires_grad_()
    teacher = targets.clone().requires_grad_() if mode != "phones" else targets
    loss(semantic, teacher).backward()
    assert not semantic.grad.any(), "an untrained head must not push the encoder"
    learn(loss, mode, steps=20)
    loss(semantic, teacher).backward()
    assert semantic.grad.abs().sum() > 0
    assert acoustic.grad is None and (mode == "phones" or teacher.grad is None)


def test_gradient_goes_straight_through_the_quantiser():
    latent, targets = toy("cosine")
    loss = Distillation(6, 5)
    learn(loss, "cosine", steps=20)
    latent.requires_grad_()
    quantised = latent + (latent.round() - latent).detach()
    loss(quantised, targets).backward()
    assert latent.grad.abs().sum() > 0


def test_cosine_of_equal_directions_is_no_distance():
    x = torch.randn(3, 7, 8)
    assert float(cosine_distance(3 * F.normalize(x, dim=-1), 0.01 * x)) == pytest.approx(0, abs=1e-5)
    assert float(cosine_distance(-3 * F.normalize(x, dim=-1), x)) == pytest.approx(2, abs=1e-5)
    assert float(cosine_distance(torch.zeros_like(x), x)) == 1


def test_the_gradient_of_the_cosine_is_bounded_at_zero():
    prediction = torch.zeros(1, 1, 8, requires_grad=True)
    cosine_distance(prediction, torch.randn(1, 1, 8)).backward()
    assert float(prediction.grad.norm()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("mode", ["cosine", "regression"])
def test_scales_do_not_matter(mode):
    """Neither the latent's scale, nor the teacher's scale and mean."""
    plain, scaled = Distillation(6, 5, mode), Distillation(6, 5, mode)
    losses = []
    for loss, size, unit, offset in ((plain, 1.0, 1.0, 0.0), (scaled, 30.0, 50.0, 7.0)):
        optimizer = torch.optim.SGD(loss.parameters(), 0.5)
        for step in range(30):
            latent, features = toy(mode, seed=step)
            value = loss(size * latent, unit * features + offset)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        losses.append(float(value.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and losses[0] < 0.8


def test_frames_without_a_label_do_not_count():
    logits, phones = torch.randn(2, 6, 5), torch.randint(0, 5, (2, 6))
    labelled = phones.clone()
    labelled[:, 3:] = -100
    torch.testing.assert_close(phone_loss(logits, labelled), phone_loss(logits[:, :3], phones[:, :3]))


def test_no_label_at_all_is_no_loss_and_no_nan():
    loss = Distillation(6, 5, "phones")
    torch.nn.init.normal_(loss.head.weight)
    semantic = torch.randn(2, 6, 6, requires_grad=True)
    value = loss(semantic, torch.full((2, 6), -100))
    value.backward()
    assert float(value.detach()) == 0 and not semantic.grad.any() and torch.isfinite(semantic.grad).all()


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="mode 'cosin': expected one of cosine, regression, phones"):
        Distillation(6, 5, "cosin")
    with pytest.raises(ValueError, match=r"expected the semantic level's output \[B, F, 6\], got \[2, 3, 7\]"):
        Distillation(6, 5)(torch.zeros(2, 3, 7), torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match=r"cosine: expected targets \[2, 3, 5\], got \[2, 3, 4\]"):
        Distillation(6, 5)(torch.zeros(2, 3, 6), torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"phones: expected targets \[2, 3\]"):
        Distillation(6, 5, "phones")(torch.zeros(2, 3, 6), torch.zeros(2, 3, 5))
