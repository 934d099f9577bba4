"""Small models and checks that several tests share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from minimoshi.config import DepthConfig, HeliumConfig, MimiConfig, MoshiConfig, TransformerConfig
from minimoshi.mimi import MimiAudioCodec
from minimoshi.moshi import HierarchicalGenerator
from minimoshi.nn import State

TOLERANCE = 1e-5  # between two ways of computing the same floats

TRANSFORMER = TransformerConfig(dim=16, layers=2, heads=2, hidden=24, context=6)
MIMI = MimiConfig(
    dim=16,
    ratios=(2, 3),
    encoder_filters=4,
    decoder_filters=4,
    layers=2,
    heads=2,
    hidden=24,
    context=5,
    layer_scale=0.5,
    n_codebooks=4,
    n_quantizers=4,
    codebook_size=32,
    codebook_dim=8,
)
SPEECH_MIMI = MIMI.replace(ratios=(4, 5, 6, 8), encoder_filters=2, decoder_filters=2)  # frames of 1920 samples
HELIUM = HeliumConfig(dim=16, layers=2, heads=2, hidden=24, context=6, text_card=20)
DEPTH = DepthConfig(dim=12, layers=2, heads=2, hidden=20, input_dim=16, dep_q=3, card=32, text_card=20)
MOSHI = MoshiConfig(helium=HELIUM, depth=DEPTH, n_q=6, card=32, delays=(0, 0, 1, 1, 0, 1, 1), mimi=SPEECH_MIMI)


def small_codec(config: MimiConfig = MIMI) -> MimiAudioCodec:
    """A random codec that says something: louder than at the start of training, codebooks spread like the latent."""
    codec = MimiAudioCodec(config).eval()
    amplify(codec.encoder, codec.decoder, gain=2.0)
    with torch.no_grad():
        latent = codec.to_latent(torch.randn(4, 1, 25 * codec.frame_size))
        for rvq in (codec.quantizer.semantic, codec.quantizer.acoustic):
            projected = rvq.input_proj(latent.transpose(1, 2)).flatten(0, 1)
            for level in range(rvq.n_quantizers):
                centre = projected.mean(0) if level == 0 else 0
                spread = projected.std(0) / 2**level
                rvq.set_centroids(level, centre + spread * torch.randn_like(rvq.centroids[level]))
    return codec


def small_generator(config: MoshiConfig = MOSHI) -> HierarchicalGenerator:
    """A random generator whose choices vary: heads louder than at the start of training."""
    generator = HierarchicalGenerator(config).eval()
    amplify(generator.text_model.head, generator.audio_model.heads, gain=2.0)
    return generator


def amplify(*modules: nn.Module, gain: float) -> None:
    with torch.no_grad():
        for module in modules:
            for parameter in module.parameters():
                parameter.mul_(gain)


@st.composite
def cuts(draw: st.DrawFn, longest: int = 24) -> list[int]:
    """The lengths of the chunks of a stream of at most `longest` steps: random, single steps and long runs alike."""
    total, chunks = draw(st.integers(1, longest)), []
    while sum(chunks) < total:
        chunks.append(draw(st.integers(1, total - sum(chunks))))
    return chunks


def assert_same(got: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    """Equal shapes; floats equal within the tolerance, everything else exactly."""
    assert got.shape == expected.shape
    if got.is_floating_point():
        torch.testing.assert_close(got, expected, atol=tolerance, rtol=0)
    else:
        assert torch.equal(got, expected)


def contents(state: State) -> list[Tensor]:
    return [tensor.clone() for tensor in state.tensors()]


@contextmanager
def refused(state: State | None, *words: str, error: type[Exception] = ValueError) -> Iterator[None]:
    """The block must raise, the message must hold all `words`, and the stream must be as it was before."""
    before = contents(state) if state is not None else []
    with pytest.raises(error) as caught:
        yield
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"the message does not mention {missing}: {caught.value}"
    for was, now in zip(before, contents(state) if state is not None else [], strict=True):
        assert torch.equal(was, now), "a refused call changed the state"


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def numbers(module: Any) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
