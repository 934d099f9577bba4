"""Attention and positions against explicit loops, and streams that run for a long time."""

import math

import pytest
import torch
from torch.nn import functional as F

from minimoshi.nn import FeedForward, Rotary, Transformer, rotate
from tests.helpers import TRANSFORMER, assert_same, contents, refused

LONG = 10_000_000  # frames: nine days


def naive_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, context: int) -> torch.Tensor:
    """q, k, v [T, D] of one head, step by step."""
    out = []
    for t in range(len(q)):
        seen = range(max(0, t - context + 1), t + 1)
        weights = torch.softmax(torch.stack([q[t] @ k[s] for s in seen]) / math.sqrt(q.shape[1]), dim=0)
        out.append(sum(w * v[s] for w, s in zip(weights, seen, strict=True)))
    return torch.stack(out)


@pytest.mark.parametrize("max_period", [None, 10_000.0])
@pytest.mark.parametrize("context", [1, 4, 50])
def test_attention_looks_back_over_its_context_and_no_further(context: int, max_period: float | None) -> None:
    """A layer with the feed-forward silenced is x + attention(norm(x)): rebuilt here with loops."""
    config = TRANSFORMER.replace(layers=1, context=context, max_period=max_period)
    model = Transformer(config)
    layer = model.layers[0]
    layer.feed_forward.linear_out.weight.data.zero_()
    x = torch.randn(1, 12, config.dim)

    q, k, v = layer.attention.in_proj(layer.norm1(x))[0].view(12, 3, config.heads, -1).unbind(1)  # [T, H, D]
    if max_period:
        turns = model.rotary(torch.arange(12)[None])
        q, k = rotate(q[None], turns)[0], rotate(k[None], turns)[0]
    heads = [naive_attention(q[:, h], k[:, h], v[:, h], context) for h in range(config.heads)]
    expected = x + layer.attention.out_proj(torch.cat(heads, dim=-1)[None])
    assert_same(model(x), expected)


def test_what_left_the_context_is_forgotten() -> None:
    """With one layer, a step depends on exactly the last `context` inputs."""
    model = Transformer(TRANSFORMER.replace(layers=1, context=5))
    x = torch.randn(1, 20, 16)
    changed = x.clone()
    changed[:, 9] += 1
    differs = (model(x) - model(changed)).abs().amax(-1)[0] > 1e-6
    assert differs.nonzero().flatten().tolist() == [9, 10, 11, 12, 13]


def test_rotation_turns_interleaved_pairs() -> None:
    """Pair i of position p turns by p · max_period^(-2i/D)."""
    x = torch.tensor([[[1.0, 0.0, 0.0, 2.0]]])  # one step, pairs (1, 0) and (0, 2)
    turned = rotate(x, Rotary(4, max_period=100.0)(torch.tensor([[3]])))
    fast, slow = 3.0, 3.0 * 100.0**-0.5
    expected = [math.cos(fast), math.sin(fast), -2 * math.sin(slow), 2 * math.cos(slow)]
    assert_same(turned[0, 0], torch.tensor(expected))


@pytest.mark.parametrize("offset", [0, 1, 3000, LONG])
def test_rotation_depends_on_distance_alone(offset: int) -> None:
    rotary, q, k = Rotary(64, 10_000.0), torch.randn(64), torch.randn(64)

    def product(distance: int, start: int) -> torch.Tensor:
        turned = rotate(torch.stack([q, k])[None], rotary(torch.tensor([[start + distance, start]])))[0]
        return turned[0] @ turned[1]

    for distance in (0, 1, 7, 100, 2999):
        assert_same(product(distance, offset), product(distance, 0), 1e-4)


@pytest.mark.parametrize("aligned", [True, False])
def test_a_stream_sounds_the_same_after_days(aligned: bool) -> None:
    """A fresh stream whose clock says nine days gives what a fresh stream gives."""
    model = Transformer(TRANSFORMER).requires_grad_(False)
    x = torch.randn(2, 40, 16)
    state = model.initial_state(2)
    state.offset += LONG // model.capacity * model.capacity
    state.aligned = aligned
    with torch.no_grad():
        late = torch.cat([model(piece, state) for piece in x.split(3, dim=1)], dim=1)
    assert_same(late, model(x), 1e-4)


def test_caches_are_bounded_by_the_context() -> None:
    model = Transformer(TRANSFORMER.replace(context=6)).requires_grad_(False)
    state = model.initial_state(1)
    sizes = [tensor.shape for tensor in contents(state)]
    for _ in range(50):
        model(torch.randn(1, 1, 16), state)
    assert [tensor.shape for tensor in contents(state)] == sizes
    assert max(max(shape) for shape in sizes) < 2 * 6 + 8


@pytest.mark.parametrize("gated", [True, False])
def test_feed_forward_is_its_formula(gated: bool) -> None:
    layer, x = FeedForward(TRANSFORMER.replace(gated=gated)), torch.randn(2, 3, 16)
    inner = x @ layer.linear_in.weight.T
    inner = F.silu(inner[..., :24]) * inner[..., 24:] if gated else 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
    assert_same(layer(x, 0), inner @ layer.linear_out.weight.T)


def test_layer_scale_of_zero_silences_the_layers() -> None:
    model, x = Transformer(TRANSFORMER.replace(layer_scale=0.0)), torch.randn(2, 5, 16)
    assert torch.equal(model(x), x)


def test_weights_per_step_are_used_at_their_step() -> None:
    """Changing set 1 of schedule (0, 1, 2, 1) leaves step 0 alone and changes all that follow."""
    model = Transformer(TRANSFORMER.replace(schedule=(0, 1, 2, 1), max_period=None, context=4)).requires_grad_(False)
    x = torch.randn(1, 4, 16)
    before = model(x)
    for layer in model.layers:
        layer.feed_forward.linear_in.weight[1] += 0.5
    differs = (model(x) - before).abs().amax(-1)[0] > 1e-6
    assert differs.tolist() == [False, True, True, True]


def test_more_steps_than_weights_are_refused() -> None:
    model = Transformer(TRANSFORMER.replace(schedule=(0, 1, 2), max_period=None, context=3))
    state = model.initial_state(1)
    model(torch.randn(1, 3, 16), state)
    with refused(state, "weights for 3 steps"):
        model(torch.randn(1, 1, 16), state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_half_and_close(dtype: torch.dtype) -> None:
    model, x = Transformer(TRANSFORMER).requires_grad_(False), torch.randn(2, 20, 16)
    expected = model(x)
    model.to(dtype)
    state = model.initial_state(2)
    for got in (model(x.to(dtype)), torch.cat([model(piece, state) for piece in x.to(dtype).split(7, dim=1)], dim=1)):
        assert got.dtype == dtype
        assert_same(got.float(), expected, 0.1)
