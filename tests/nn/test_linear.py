"""Linear layers with weights per step, norms, LayerScale and embeddings against their formulas."""

import pytest
import torch
from torch.nn import functional as F

from minimoshi.nn import LayerScale, RMSNorm, StepLinear, make_norm
from minimoshi.nn.embedding import ZERO_TOKEN, TokenEmbedding
from tests.helpers import assert_same


def test_without_a_schedule_it_is_a_linear_layer() -> None:
    layer, x = StepLinear(5, 3), torch.randn(2, 4, 5)
    assert layer.weight.shape == (3, 5)
    assert_same(layer(x), F.linear(x, layer.weight))
    assert_same(layer(x, step=1000), layer(x))


@pytest.mark.parametrize("schedule", [(0, 1, 2, 3), (0, 1, 1, 1), (2, 0, 1, 0), (0, 0, 0, 0)])
def test_each_step_has_the_weights_its_schedule_names(schedule: tuple[int, ...]) -> None:
    layer, x = StepLinear(5, 3, schedule), torch.randn(2, 4, 5)
    assert layer.weight.shape == (max(schedule) + 1, 3, 5)
    expected = torch.stack([x[:, t] @ layer.weight[used].T for t, used in enumerate(schedule)], dim=1)
    assert_same(layer(x), expected)
    for step in range(4):
        assert_same(layer(x[:, step : step + 1], step), expected[:, step : step + 1])
    assert_same(layer(x[:, 1:3], 1), expected[:, 1:3])
    assert_same(layer.weights(1, 3), layer.weight[list(schedule[1:])], 0)


def test_shared_weights_learn_from_all_their_steps() -> None:
    layer = StepLinear(5, 3, (0, 1, 1))
    x = torch.randn(2, 3, 5)
    layer(x).sum().backward()
    assert_same(layer.weight.grad[0], x[:, 0].sum(0).expand(3, 5))
    assert_same(layer.weight.grad[1], x[:, 1:].sum((0, 1)).expand(3, 5))


def test_a_step_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="weights for 2 steps; steps 1..2 were asked for"):
        StepLinear(5, 3, (0, 1))(torch.zeros(1, 2, 5), step=1)


def test_rms_norm_is_its_formula() -> None:
    norm, x = RMSNorm(6, eps=0.1), torch.randn(2, 3, 6)
    torch.nn.init.normal_(norm.weight)
    assert_same(norm(x), x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt() * norm.weight)


def test_rms_norm_of_half_precision_is_computed_in_single() -> None:
    """Squares of 300 overflow half precision; the mean of 4096 equal squares would be rounded away in bfloat16."""
    x = torch.full((1, 1, 4096), 300.0)
    assert torch.equal(RMSNorm(4096).half()(x.half()), torch.ones(1, 1, 4096, dtype=torch.float16))
    assert torch.equal(RMSNorm(4096).bfloat16()(x.bfloat16()), torch.ones(1, 1, 4096, dtype=torch.bfloat16))


def test_layer_norm_is_torch_layer_norm() -> None:
    norm, x = make_norm("layer", 6, 1e-5), torch.randn(2, 3, 6)
    assert_same(norm(x), F.layer_norm(x, (6,), eps=1e-5))
    assert isinstance(make_norm("rms", 6, 1e-8), RMSNorm)


def test_layer_scale_is_a_gain_per_channel() -> None:
    layer, x = LayerScale(4, 0.25), torch.randn(2, 3, 4)
    assert torch.equal(layer(x), x / 4)
    layer.scale.data = torch.tensor([1.0, 2.0, 0.0, -1.0])
    assert torch.equal(layer(x), x * torch.tensor([1.0, 2.0, 0.0, -1.0]))


@pytest.mark.parametrize("low_rank", [None, 2])
def test_each_row_is_looked_up_in_its_own_table(low_rank: int | None) -> None:
    embedding = TokenEmbedding(3, 7, 4, low_rank)
    tokens = torch.tensor([[[0, 6], [1, ZERO_TOKEN], [2, 2]]])
    out = embedding(tokens)
    assert out.shape == (1, 3, 2, 4)
    assert torch.equal(out[0, 1, 1], torch.zeros(4))
    for k, t in ((0, 0), (0, 1), (1, 0), (2, 0)):
        row = embedding.weight[k, tokens[0, k, t]]
        assert_same(out[0, k, t], row if low_rank is None else embedding.widen[k] @ row)
    assert_same(embedding(tokens[:, 1:2], first=1), out[:, 1:2])
