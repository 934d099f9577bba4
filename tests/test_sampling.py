"""Tokens are drawn with the chances that the logits give."""

import pytest
import torch

from minimoshi.sampling import sample

DRAWS = 20_000
LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.5, -10.0])


def frequencies(**options) -> torch.Tensor:
    drawn = sample(LOGITS.expand(DRAWS, -1), generator=torch.Generator().manual_seed(0), **options)
    return torch.bincount(drawn, minlength=len(LOGITS)) / DRAWS


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("top_k", [None, 1, 3, 6, 100])
def test_distribution(temperature: float, top_k: int | None) -> None:
    allowed = LOGITS.topk(min(top_k or 6, 6)).indices
    masked = torch.full_like(LOGITS, -torch.inf).scatter(0, allowed, LOGITS[allowed])
    chances = torch.softmax(masked / temperature, dim=0)
    deviation = (chances * (1 - chances) / DRAWS).sqrt()
    got = frequencies(temperature=temperature, top_k=top_k)
    assert ((got - chances).abs() <= 4 * deviation).all(), f"drawn {got.tolist()}, expected {chances.tolist()}"


def test_draws_of_a_batch_are_independent() -> None:
    drawn = sample(torch.zeros(2, DRAWS, 2), generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (2, DRAWS)
    assert (drawn[0] == drawn[1]).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_temperature_zero_is_greedy_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert sample(LOGITS.expand(3, 2, -1), temperature=0, generator=generator).tolist() == [[0, 0]] * 3
    assert torch.equal(generator.get_state(), before)


def test_half_precision_logits() -> None:
    assert sample(torch.tensor([0.0, 60_000.0]).half(), temperature=0.1).item() == 1


def test_negative_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        sample(LOGITS, temperature=-1)
