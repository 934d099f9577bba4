"""What the card's systems make of a clip, on a codec small enough for a test."""

import numpy as np
import pytest
import torch

from minimoshi.evaluation import codec as systems
from minimoshi.mimi import MimiAudioCodec
from tests.speech_toys import CODEC, tone_voice


@pytest.fixture(scope="module")
def codec() -> MimiAudioCodec:
    torch.manual_seed(0)
    return MimiAudioCodec(CODEC).eval()


WAV = tone_voice("")("hello there again").wav


def fitted(codec: MimiAudioCodec, wav: np.ndarray) -> MimiAudioCodec:
    """A copy with a centroid on each of the first 16 frames of `wav`; all levels but each group's first hold zeros."""
    exact = MimiAudioCodec(CODEC).eval()
    exact.load_state_dict(codec.state_dict())
    latent = exact.to_latent(torch.from_numpy(wav)[None, None]).transpose(1, 2)
    for group in (exact.quantizer.semantic, exact.quantizer.acoustic):
        frames = group.input_proj(latent)[0].detach()
        group.set_centroids(0, frames[torch.arange(16) % len(frames)])
        for level in range(1, group.n_quantizers):
            group.set_centroids(level, torch.zeros(16, frames.shape[1]))
    return exact


def test_through_is_encode_and_decode(codec):
    codes = systems.tokens(codec, WAV)
    assert codes.shape == (3, -(-len(WAV) // 1920)) and codes.dtype == torch.int64
    for levels in (1, 3):
        copy = systems.through(codec, WAV, levels)
        assert copy.shape == WAV.shape and copy.dtype == np.float32
        assert np.array_equal(copy, systems.sound(codec, codes[:levels], len(WAV)))
    assert not np.array_equal(systems.through(codec, WAV, 1), systems.through(codec, WAV))


def test_unquantised_is_what_infinitely_fine_codebooks_would_give(codec):
    """With a centroid on every projected frame nothing is rounded, so both ways must agree."""
    wav = WAV[: 16 * 1920]
    exact = fitted(codec, wav)
    rounded = systems.through(exact, wav)
    assert np.allclose(systems.unquantised(exact, wav), rounded, atol=1e-5)
    assert not np.allclose(systems.unquantised(codec, wav), systems.through(codec, wav), atol=1e-5)


def test_latents_are_the_decoders_level_by_level(codec):
    codes = systems.tokens(codec, WAV)
    found = systems.latents(codec, codes)
    assert found.shape == (3, codes.shape[1], CODEC.dim)
    for level in range(3):
        assert torch.equal(found[level], codec.quantizer.decode(codes[None, : level + 1])[0].T)


def test_idempotence_compares_frame_by_frame(codec):
    exact = fitted(codec, WAV)
    codes = systems.tokens(exact, WAV)
    assert len(codes[0].unique()) > 8
    # the sound that was encoded gives its own codes; half a frame later the frames are others
    assert systems.idempotence(exact, codes, WAV).all()
    assert systems.idempotence(exact, codes, WAV, shift=True)[0].float().mean() < 0.9
    moved = np.concatenate([np.zeros(960, np.float32), WAV])
    assert systems.idempotence(exact, codes, moved, shift=True).all()


def test_a_frame_takes_time(codec):
    assert 0 < systems.frame_milliseconds(codec, frames=10) < 200
