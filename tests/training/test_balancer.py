"""The balancer: weights become shares of the pull, whatever the losses' own sizes."""

import pytest
import torch

from minimoshi.training.balancer import GradientBalancer


def losses(x: torch.Tensor, scale: float) -> dict[str, torch.Tensor]:
    """Two losses that pull at different samples, the second one `scale` times as hard."""
    return {"left": x[..., :5].sum(), "right": scale * x[..., 5:].sum()}


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_weight_is_a_share_of_the_pull(scale):
    x = torch.zeros(3, 1, 10, requires_grad=True)
    balancer = GradientBalancer({"left": 1.0, "right": 3.0})
    pull = balancer.gradient(losses(x, scale), x)
    norms = pull[..., :5].flatten(1).norm(dim=1), pull[..., 5:].flatten(1).norm(dim=1)
    torch.testing.assert_close(norms[0], torch.full((3,), 0.25))
    torch.testing.assert_close(norms[1], torch.full((3,), 0.75))


def test_an_absent_loss_leaves_its_share_to_the_others():
    x = torch.zeros(2, 1, 10, requires_grad=True)
    balancer = GradientBalancer({"left": 1.0, "right": 3.0}, total_norm=2.0)
    pull = balancer.gradient({"left": losses(x, 1.0)["left"]}, x)
    torch.testing.assert_close(pull.flatten(1).norm(dim=1), torch.full((2,), 2.0))


def test_sizes_are_averaged_over_steps():
    x = torch.zeros(1, 1, 10, requires_grad=True)
    balancer = GradientBalancer({"left": 1.0}, decay=0.5)
    balancer.gradient({"left": x[..., :5].sum()}, x)
    pull = balancer.gradient({"left": 3 * x[..., :5].sum()}, x)
    usual = (0.5 * 5**0.5 + 3 * 5**0.5) / 1.5
    assert float(pull.norm()) == pytest.approx(3 * 5**0.5 / usual)
    other = GradientBalancer({"left": 1.0}, decay=0.5)
    other.load_state_dict(balancer.state_dict())
    again = [b.gradient({"left": x[..., :5].sum()}, x) for b in (balancer, other)]
    assert torch.equal(*again)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(ValueError, match="positive weights"):
        GradientBalancer({"mel": 0.0})
    x = torch.zeros(1, 1, 4, requires_grad=True)
    with pytest.raises(ValueError, match="no weight for other"):
        GradientBalancer({"mel": 1.0}).gradient({"other": x.sum()}, x)
