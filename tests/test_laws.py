"""What holds for everything that runs in time, stated once.

1. Chunks: however a stream is cut, the outputs joined are the output of the whole.
2. Causality: what comes later never changes what came before.
3. Rows: the streams of a batch know nothing of each other; a row that is reset starts anew, the others go on.
4. Values: a state can be copied, never grows, and is untouched by a call that is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minimoshi.mimi.seanet import ResidualBlock, seanet_decoder, seanet_encoder
from minimoshi.nn import StreamingConv1d, StreamingConvTranspose1d, Transformer
from minimoshi.text import HeliumModel
from tests.helpers import (
    HELIUM,
    MIMI,
    MOSHI,
    TRANSFORMER,
    assert_same,
    contents,
    cuts,
    refused,
    small_codec,
    small_generator,
)


@dataclass
class Stream:
    """One thing that runs in time, and what to feed it."""

    owner: Any  # has initial_state
    call: Callable[..., Tensor]  # (x, state)
    inputs: Callable[[int, int], Tensor]  # (batch, steps) -> x
    unit: int = 1  # samples of input in a step
    time: int = -1  # dimension of time, in and out
    longest: int = 24  # steps it can be asked for


def conv(*args: int, **options: Any) -> Callable[[], Stream]:
    def make() -> Stream:
        layer = StreamingConv1d(*args, **options)
        return Stream(layer, layer, lambda b, t: torch.randn(b, args[0], t * layer.stride[0]), unit=layer.stride[0])

    return make


def conv_transpose(*args: int, **options: Any) -> Callable[[], Stream]:
    def make() -> Stream:
        layer = StreamingConvTranspose1d(*args, **options)
        return Stream(layer, layer, lambda b, t: torch.randn(b, args[0], t))

    return make


def transformer(longest: int = 24, **changes: Any) -> Callable[[], Stream]:
    def make() -> Stream:
        layer = Transformer(TRANSFORMER.replace(**changes))
        return Stream(layer, layer, lambda b, t: torch.randn(b, t, TRANSFORMER.dim), time=1, longest=longest)

    return make


def residual_block() -> Stream:
    block = ResidualBlock(8, 3, 2)
    return Stream(block, block, lambda b, t: torch.randn(b, 8, t))


def encoder() -> Stream:
    chain = seanet_encoder(MIMI)
    return Stream(chain, chain, lambda b, t: torch.randn(b, 1, 6 * t), unit=6)


def decoder() -> Stream:
    chain = seanet_decoder(MIMI)
    return Stream(chain, chain, lambda b, t: torch.randn(b, MIMI.dim, t))


def codec(part: str) -> Callable[[], Stream]:
    def make() -> Stream:
        model = small_codec()
        sound, size = part in ("encode", "to_latent"), model.frame_size
        inputs = {
            "decode": lambda b, t: torch.randint(MIMI.codebook_size, (b, MIMI.n_quantizers, t)),
            "from_latent": lambda b, t: torch.randn(b, MIMI.dim, t),
        }
        return Stream(
            model,
            getattr(model, part),
            inputs.get(part, lambda b, t: torch.randn(b, 1, t * size)),
            unit=size if sound else 1,
        )

    return make


def helium() -> Stream:
    model = HeliumModel(HELIUM)
    return Stream(model, model, lambda b, t: torch.randint(-1, HELIUM.text_card + 1, (b, t)), time=1)


def temporal() -> Stream:
    """The generator's temporal transformer: the delayed grid in, context out."""
    model = small_generator()
    inputs = lambda b, t: torch.randint(-1, HELIUM.text_card, (b, MOSHI.n_q + 1, t))  # noqa: E731
    return Stream(model, lambda x, state: model.context(x, state).transpose(1, 2), inputs)


STREAMS = {
    "conv": conv(3, 5, 7),
    "conv kernel 1": conv(3, 5, 1),
    "conv kernel = stride": conv(3, 5, 4, stride=4),
    "conv stride": conv(3, 5, 8, stride=3),
    "conv dilation": conv(3, 5, 3, dilation=4),
    "conv stride and dilation": conv(3, 5, 3, stride=2, dilation=3, bias=False),
    "conv groups": conv(4, 8, 4, stride=2, groups=2),
    "conv replicate": conv(3, 5, 4, stride=2, bias=False, pad_mode="replicate"),
    "conv replicate, long past": conv(2, 3, 5, dilation=3, pad_mode="replicate"),
    "conv wide": conv(64, 64, 8, stride=2, pad_mode="replicate"),
    "conv wide, dilation": conv(64, 64, 3, dilation=2),
    "transposed": conv_transpose(3, 5, 8, 4),
    "transposed depth-wise": conv_transpose(6, 6, 4, 2, groups=6, bias=False),
    "transposed kernel = stride": conv_transpose(3, 5, 4, 4),
    "transposed uneven": conv_transpose(3, 5, 7, 3),
    "transposed depth-wise uneven": conv_transpose(4, 4, 5, 2, groups=4),
    "transposed far": conv_transpose(2, 3, 11, 2),
    "transposed stride 1": conv_transpose(3, 2, 3, 1),
    "residual block": residual_block,
    "seanet encoder": encoder,
    "seanet decoder": decoder,
    "transformer": transformer(),
    "transformer longer than its ring": transformer(longest=60),
    "transformer context 1": transformer(context=1),
    "transformer context beyond the stream": transformer(context=100),
    "transformer plain": transformer(gated=False),
    "transformer layer norm": transformer(norm="layer", norm_eps=1e-5),
    "transformer layer scale": transformer(layer_scale=0.3),
    "transformer no positions": transformer(max_period=None),
    "transformer as in Mimi": transformer(gated=False, norm="layer", norm_eps=1e-5, layer_scale=0.3),
    "transformer per-step weights": transformer(longest=6, schedule=(0, 1, 2, 3, 4, 5), max_period=None),
    "transformer shared schedule": transformer(longest=6, schedule=(0, 1, 2, 2, 1, 2), max_period=None),
    "codec encode": codec("encode"),
    "codec to latent": codec("to_latent"),
    "codec decode": codec("decode"),
    "codec from latent": codec("from_latent"),
    "helium": helium,
    "generator, temporal": temporal,
}

PER_STEP = ["transformer per-step weights", "transformer shared schedule"]  # their rows move in step
every_stream = pytest.mark.parametrize("name", STREAMS)
MADE: dict[str, Stream] = {}


def stream(name: str) -> Stream:
    """The named stream with one set of weights for all examples."""
    if name not in MADE:
        torch.manual_seed(1)
        MADE[name] = STREAMS[name]()
        MADE[name].owner.requires_grad_(False)
    return MADE[name]


def pieces(one: Stream, x: Tensor, chunks: list[int]) -> list[Tensor]:
    return list(x.split([steps * one.unit for steps in chunks], dim=one.time))


def run(one: Stream, x: Tensor, chunks: list[int], state: Any) -> Tensor:
    """The outputs of a stream fed in chunks, joined."""
    return torch.cat([one.call(piece, state) for piece in pieces(one, x, chunks)], dim=one.time)


@every_stream
@given(data=st.data(), batch=st.integers(1, 3), learning=st.booleans())
def test_chunks(name: str, data: st.DataObject, batch: int, learning: bool) -> None:
    """`learning`: with gradients wanted, another path may be taken."""
    one = stream(name)
    chunks = data.draw(cuts(one.longest), "chunks")
    x = one.inputs(batch, sum(chunks))
    with torch.set_grad_enabled(learning):
        assert_same(run(one, x, chunks, one.owner.initial_state(batch)), one.call(x, None))


@every_stream
@settings(max_examples=15)
@given(data=st.data(), batch=st.integers(1, 3))
def test_causality(name: str, data: st.DataObject, batch: int) -> None:
    one = stream(name)
    now, later = data.draw(cuts(one.longest).map(lambda chunks: (chunks[0], sum(chunks[1:]))), "now, later")
    x, other = one.inputs(batch, now + later), one.inputs(batch, now + later)
    past, _ = x.split([now * one.unit, later * one.unit], dim=one.time)
    _, future = other.split([now * one.unit, later * one.unit], dim=one.time)
    alone = one.call(past, None)
    steps = alone.shape[one.time]
    for whole in (x, torch.cat([past, future], dim=one.time)):
        assert_same(one.call(whole, None).narrow(one.time, 0, steps), alone)


@every_stream
def test_output_depends_on_the_input_at_every_step(name: str) -> None:
    """Guards the laws above: they would hold for a constant too."""
    one = stream(name)
    output = one.call(one.inputs(2, one.longest), None).float()
    assert (output.std(one.time) > 1e-3).any() and (output[0] != output[1]).any()


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in PER_STEP])
@settings(max_examples=12)
@given(data=st.data(), learning=st.booleans())
def test_rows(name: str, data: st.DataObject, learning: bool) -> None:
    """Rows 0 and 2 are reset half way, at different times; row 1 goes on undisturbed."""
    one = stream(name)
    first, second, third = (data.draw(cuts(max(1, one.longest // 3)), "chunks") for _ in range(3))
    x = one.inputs(3, sum(first + second + third))
    a, b, c = pieces(one, x, [sum(first), sum(second), sum(third)])
    state = one.owner.initial_state(3)
    with torch.set_grad_enabled(learning):
        outputs = [run(one, a, first, state)]
        state.reset(torch.tensor([True, False, False]))
        outputs.append(run(one, b, second, state))
        state.reset(torch.tensor([False, False, True]))
        outputs.append(run(one, c, third, state))
    joined = torch.cat(outputs, dim=one.time)

    assert_same(joined[1:2], one.call(x[1:2], None))
    assert_same(torch.cat(outputs[1:], dim=one.time)[:1], one.call(torch.cat([b, c], dim=one.time)[:1], None))
    assert_same(outputs[2][2:], one.call(c[2:], None))


@pytest.mark.parametrize("name", PER_STEP)
def test_rows_with_weights_per_step_move_together(name: str) -> None:
    one = stream(name)
    state = one.owner.initial_state(2)
    one.call(one.inputs(2, 2), state)
    state.reset(torch.tensor([True, False]))
    with refused(state, "all rows move together"):
        one.call(one.inputs(2, 1), state)


@every_stream
def test_reset_of_everything(name: str) -> None:
    one = stream(name)
    x, state = one.inputs(2, one.longest), one.owner.initial_state(2)
    one.call(x, state)
    state.reset()
    assert_same(one.call(x, state), one.call(x, None))


@every_stream
def test_a_copy_is_independent(name: str) -> None:
    one = stream(name)
    x = one.inputs(2, one.longest)
    a, b = pieces(one, x, [one.longest // 2, one.longest - one.longest // 2])
    state = one.owner.initial_state(2)
    one.call(a, state)
    copy = state.clone()
    expected = one.call(b, state)
    for _ in range(2):  # going on with the original, or with another copy, changes nothing for this one
        assert_same(one.call(b, copy.clone()), expected, 0)


@every_stream
def test_a_state_never_grows(name: str) -> None:
    one = stream(name)
    state = one.owner.initial_state(2)
    before = [(tensor.data_ptr(), tensor.shape, tensor.dtype) for tensor in state.tensors()]
    for piece in pieces(one, one.inputs(2, one.longest), [1] * one.longest):
        one.call(piece, state)
    assert [(tensor.data_ptr(), tensor.shape, tensor.dtype) for tensor in state.tensors()] == before


@every_stream
def test_a_state_holds_no_gradients(name: str) -> None:
    """A stream that runs for hours outside `no_grad` must not keep the whole past alive."""
    one = stream(name)
    one.owner.requires_grad_(True)
    try:
        state = one.owner.initial_state(2)
        for piece in pieces(one, one.inputs(2, one.longest), [1] * (one.longest - 2) + [2]):
            one.call(piece, state)
        assert not [tensor for tensor in state.tensors() if tensor.requires_grad]
        state.clone()
    finally:
        one.owner.requires_grad_(False)


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in ("codec encode", "codec decode")])
def test_gradients_do_not_mind_a_state(name: str) -> None:
    """Within one call they are those of the whole stream."""
    one = stream(name)
    x, state = one.inputs(2, one.longest), one.owner.initial_state(2)
    one.owner.requires_grad_(True)
    try:
        gradients = []
        for given_state in (state, None):
            one.call(x, given_state).square().mean().backward()
            gradients.append([None if p.grad is None else p.grad.clone() for p in one.owner.parameters()])
            one.owner.zero_grad()
    finally:
        one.owner.requires_grad_(False)
    assert any(gradient is not None for gradient in gradients[0])
    for with_state, without in zip(*gradients, strict=True):
        assert (with_state is None) == (without is None)
        if without is not None:
            assert_same(with_state, without, 1e-4)


@every_stream
def test_a_state_of_another_batch_size_is_refused(name: str) -> None:
    one = stream(name)
    state = one.owner.initial_state(2)
    one.call(one.inputs(2, 3), state)
    with refused(state, "2 streams", "batch size 3", "initial_state(batch_size=3)"):
        one.call(one.inputs(3, 1), state)


@every_stream
def test_an_empty_input_is_refused(name: str) -> None:
    one = stream(name)
    state = one.owner.initial_state(2)
    for given_state in (state, None):
        with refused(state):
            one.call(one.inputs(2, 0), given_state)


def test_a_state_lives_where_its_module_lives() -> None:
    module = Transformer(TRANSFORMER).to(torch.bfloat16)
    floats = [tensor for tensor in contents(module.initial_state(1)) if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.bfloat16}
    assert {tensor.device.type for tensor in Transformer(TRANSFORMER).to("meta").initial_state(1).tensors()} == {"meta"}
