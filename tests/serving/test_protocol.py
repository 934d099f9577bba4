"""The official wire, byte by byte, and what may stand in the address."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimoshi.sampling import Sampling
from minimoshi.serving.opus import FRAME, Ears, Mouth
from minimoshi.serving.protocol import Kind, Message, read_query, unpack


def test_kinds_are_the_official_numbers():
    assert [kind.name for kind in Kind] == "HANDSHAKE AUDIO TEXT CONTROL METADATA ERROR PING".split()
    assert [int(kind) for kind in Kind] == list(range(7))
    assert Message(Kind.TEXT, " héllo".encode()).pack() == b"\x02 h\xc3\xa9llo"
    assert Message(Kind.HANDSHAKE).pack() == b"\x00"


@given(st.binary(min_size=1))
def test_any_message_is_read_as_it_was_written(data):
    assert unpack(data).pack() == data


def test_bad_messages_are_refused():
    with pytest.raises(ValueError, match="at least one byte"):
        unpack(b"")
    with pytest.raises(ValueError, match="UTF-8"):
        _ = Message(Kind.TEXT, b"\xff").text


def test_the_address_of_the_official_web_client():
    wish = read_query(
        dict(
            text_temperature="0.7",
            text_topk="25",
            audio_temperature="0.8",
            audio_topk="250",
            pad_mult="0",
            text_seed="5",
            audio_seed="7",
            repetition_penalty_context="64",
            repetition_penalty="1.0",
            email="x",
        )
    )
    assert wish.sampling == Sampling() and wish.seed == 7
    assert read_query({}) == read_query({"unknown": "1"})
    own = Sampling(temperature=0.6, text_temperature=0.0)
    assert read_query({}, own).sampling == own
    assert read_query({"audio_temperature": "1"}, own).sampling == Sampling(temperature=1.0, text_temperature=0.0)
    assert read_query({"pad_mult": "2", "text_temperature": "0.5"}).sampling.pad_bonus == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["text_temperature", "audio_topk", "repetition_penalty", "audio_seed"])
@pytest.mark.parametrize("value", ["", "nan", "-1", "1e99", "loud"])
def test_bad_numbers_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name}="):
        read_query({name: value})


def test_sound_survives_the_wire():
    time = np.arange(20 * FRAME) / 24_000
    sound = (0.3 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    mouth, ears = Mouth(), Ears()
    heard = [pcm for frame in sound.reshape(-1, FRAME) for pcm in ears(mouth(frame))]
    assert all(pcm.shape == (FRAME,) for pcm in heard) and len(heard) >= 18
    spectrum = np.abs(np.fft.rfft(np.concatenate(heard[4:])))
    assert abs(np.argmax(spectrum) * 24_000 / (FRAME * len(heard[4:])) - 300) < 5


def test_pages_cut_anywhere_are_put_together():
    mouth, ears = Mouth(), Ears()
    stream = b"".join(mouth(np.zeros(FRAME, np.float32)) for _ in range(5))
    heard = [pcm for at in range(0, len(stream), 37) for pcm in ears(stream[at : at + 37])]
    assert len(heard) >= 4


@given(st.binary(min_size=30, max_size=200))
def test_noise_on_the_wire_is_an_error_or_nothing(data):
    ears = Ears()
    try:
        frames = ears(b"OggX" + data)
    except ValueError:
        return
    assert frames == []


def test_a_huge_message_is_refused():
    with pytest.raises(ValueError, match="65536 bytes"):
        Ears()(bytes(70_000))
