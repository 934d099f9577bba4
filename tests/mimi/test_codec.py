"""The codec: sound to codes and back, and everything it refuses."""

from collections.abc import Callable

import pytest
import torch

from minimoshi.mimi import MimiAudioCodec
from minimoshi.mimi.seanet import seanet_decoder, seanet_encoder
from tests.helpers import MIMI, SPEECH_MIMI, assert_same, refused, small_codec


@pytest.fixture(scope="module")
def codec() -> MimiAudioCodec:
    torch.manual_seed(0)
    return small_codec(SPEECH_MIMI).requires_grad_(False)


@pytest.mark.parametrize("samples, frames", [(1, 1), (1919, 1), (1920, 1), (1921, 2), (9607, 6)])
def test_the_last_frame_is_filled_with_silence(codec: MimiAudioCodec, samples: int, frames: int) -> None:
    wav = torch.randn(2, 1, samples)
    codes = codec.encode(wav)
    assert codes.shape == (2, 4, frames) and codes.dtype == torch.int64
    padded = torch.cat([wav, torch.zeros(2, 1, frames * 1920 - samples)], dim=-1)
    assert torch.equal(codes, codec.encode(padded))
    assert codec.decode(codes).shape == (2, 1, frames * 1920)


def test_numbers_of_the_codec(codec: MimiAudioCodec) -> None:
    assert (codec.sample_rate, codec.frame_rate, codec.frame_size, codec.n_quantizers) == (24_000, 12.5, 1920, 4)
    assert codec.config.bits_per_second == 4 * 5 * 12.5


@pytest.mark.parametrize("quantizers", [1, 2, 4])
def test_any_number_of_codebooks_decodes(codec: MimiAudioCodec, quantizers: int) -> None:
    codes = codec.encode(torch.randn(1, 1, 3 * 1920))[:, :quantizers]
    assert_same(codec.decode(codes), codec.from_latent(codec.quantizer.decode(codes)), 0)


def test_fewer_quantizers_are_the_first_of_all() -> None:
    codec = small_codec()
    wav = torch.randn(1, 1, 5 * codec.frame_size)
    codes = codec.encode(wav)
    assert codec.use_quantizers(2) is codec and codec.n_quantizers == 2
    assert torch.equal(codec.encode(wav), codes[:, :2])
    with refused(None, "1 to 2 codebooks", "[1, 4, 5]"):
        codec.decode(codes)
    with refused(None, "1..4", "got 5"):
        codec.use_quantizers(5)
    assert codec.n_quantizers == 2


def test_encoding_and_decoding_may_share_a_state(codec: MimiAudioCodec) -> None:
    wav = torch.randn(1, 1, 4 * 1920)
    codes = codec.encode(wav)
    sound = codec.decode(codes)
    state = codec.initial_state()
    for frame, piece in enumerate(wav.split(1920, dim=-1)):
        assert torch.equal(codec.encode(piece, state), codes[..., frame : frame + 1])
        assert_same(codec.decode(codes[..., frame : frame + 1], state), sound[..., 1920 * frame : 1920 * (frame + 1)])


def test_latents_join_up_with_codes(codec: MimiAudioCodec) -> None:
    wav = torch.randn(1, 1, 3 * 1920)
    latent = codec.to_latent(wav)
    assert latent.shape == (1, SPEECH_MIMI.dim, 3)
    assert torch.equal(codec.quantizer.encode(latent, 4), codec.encode(wav))


def test_training_reaches_every_parameter() -> None:
    """Sound to latent to sound passes gradients to all but the quantiser's projections."""
    codec = small_codec()
    codec.from_latent(codec.to_latent(torch.randn(1, 1, 48))).square().sum().backward()
    without = [name for name, parameter in codec.named_parameters() if parameter.grad is None]
    assert without and all(name.startswith("quantizer.") for name in without)


def test_the_step_to_12_5_hz_hears_no_onset() -> None:
    """What is constant stays constant from the first frame on: before the first sample was that sample, not silence."""
    frames = small_codec().downsample(torch.randn(1, MIMI.dim, 1).expand(-1, -1, 8))
    assert_same(frames, frames[..., -1:].expand(-1, -1, 4))


def test_seanet_undoes_its_own_strides() -> None:
    latent = seanet_encoder(MIMI)(torch.randn(2, 1, 24))
    assert latent.shape == (2, MIMI.dim, 24 // 6)
    assert seanet_decoder(MIMI)(latent).shape == (2, 1, 24)


def wav(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


BAD_SOUND: dict[str, tuple[Callable[[], torch.Tensor], list[str]]] = {
    "stereo": (lambda: wav(1, 2, 1920), ["mono", "[B, 1, S]", "[1, 2, 1920]", "average the channels", "apart"]),
    "no batch": (lambda: wav(1, 1920), ["[B, 1, S]", "[1, 1920]", "wav[None, None]"]),
    "flat": (lambda: wav(1920), ["[B, 1, S]", "[1920]"]),
    "16 bit": (lambda: torch.ones(1, 1, 1920, dtype=torch.int16), ["float", "int16", "32768"]),
    "empty": (lambda: wav(1, 1, 0), ["empty"]),
    "NaN": (lambda: wav(1, 1, 1920).index_fill(-1, torch.tensor([7]), float("nan")), ["NaN"]),
    "infinite": (lambda: wav(1, 1, 1920) / 0, ["infinite"]),
}
BAD_STREAM: dict[str, tuple[Callable[[], torch.Tensor], list[str]]] = {
    "part of a frame": (lambda: wav(1, 1, 1000), ["multiple of 1920", "got 1000", "keep the remainder"]),
    "a frame and a bit": (lambda: wav(1, 1, 1921), ["multiple of 1920", "got 1921"]),
    "other batch": (lambda: wav(2, 1, 1920), ["1 streams", "batch size 2", "initial_state(batch_size=2)"]),
}
BAD_CODES: dict[str, tuple[Callable[[], torch.Tensor], list[str]]] = {
    "too large": (lambda: torch.full((1, 4, 1), 32), ["0..31", "32"]),
    "negative": (lambda: torch.full((1, 4, 1), -1), ["0..31", "-1"]),
    "too many": (lambda: torch.zeros(1, 5, 1, dtype=torch.int64), ["1 to 4 codebooks", "[1, 5, 1]"]),
    "none": (lambda: torch.zeros(1, 0, 1, dtype=torch.int64), ["1 to 4 codebooks", "[1, 0, 1]"]),
    "no frame": (lambda: torch.zeros(1, 4, 0, dtype=torch.int64), ["[1, 4, 0]"]),
    "no batch": (lambda: torch.zeros(4, 1, dtype=torch.int64), ["[B, Q, F]", "[4, 1]"]),
    "float": (lambda: torch.zeros(1, 4, 1), ["int64", "float32"]),
    "int32": (lambda: torch.zeros(1, 4, 1, dtype=torch.int32), ["int64", "int32"]),
}


@pytest.mark.parametrize("case", [*BAD_SOUND, *BAD_STREAM])
def test_bad_sound_is_refused_and_the_stream_goes_on(codec: MimiAudioCodec, case: str) -> None:
    make, words = (BAD_SOUND | BAD_STREAM)[case]
    good, state = torch.randn(1, 1, 2 * 1920), codec.initial_state()
    codes = [codec.encode(good[..., :1920], state)]
    with refused(state, *words):
        codec.encode(make(), state)
    codes.append(codec.encode(good[..., 1920:], state))
    assert torch.equal(torch.cat(codes, dim=-1), codec.encode(good))
    if case in BAD_SOUND:
        with refused(None, *words):
            codec.encode(make())


@pytest.mark.parametrize("case", BAD_CODES)
def test_bad_codes_are_refused_and_the_stream_goes_on(codec: MimiAudioCodec, case: str) -> None:
    make, words = BAD_CODES[case]
    good, state = torch.randint(32, (1, 4, 2)), codec.initial_state()
    sound = [codec.decode(good[..., :1], state)]
    with refused(state, *words):
        codec.decode(make(), state)
    sound.append(codec.decode(good[..., 1:], state))
    assert_same(torch.cat(sound, dim=-1), codec.decode(good))
    with refused(None, *words):
        codec.decode(make())


def test_codes_of_another_batch_size_are_refused(codec: MimiAudioCodec) -> None:
    state = codec.initial_state(3)
    with refused(state, "3 streams", "batch size 1"):
        codec.decode(torch.zeros(1, 4, 1, dtype=torch.int64), state)


def test_double_precision_sound_is_taken_as_it_comes(codec):
    sound = wav(1, 1, 1920 * 3)
    assert torch.equal(codec.encode(sound.double()), codec.encode(sound))


def test_a_latent_of_another_width_is_refused(codec: MimiAudioCodec) -> None:
    with pytest.raises(ValueError, match="latent of shape"):
        codec.from_latent(torch.randn(1, 1, 3))
