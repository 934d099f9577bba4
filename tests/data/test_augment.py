"""Changes of sound: each alone does what its name says, and rooms neither move nor colour speech too much."""

import numpy as np
import pytest

from minimoshi.data.augment import Augmentation, coloured, in_room, room_response

NOTHING = dict(rate_share=0, colour_share=0, level_share=0, noise_share=0, room_share=0)
RATE = 24_000


def speech() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.07 * rng.standard_normal(RATE) * np.repeat(rng.random(24), 1000)).astype(np.float32)


def changed(seed: int, **settings) -> np.ndarray:
    return Augmentation(**(NOTHING | settings)).change(np.random.default_rng(seed), speech())


def db(wav: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(wav, dtype=np.float64)))


def test_nothing_changes_nothing():
    assert np.array_equal(changed(0), speech())
    assert Augmentation(**NOTHING).draw_rate(np.random.default_rng(0)) == 1.0


def test_shares_are_kept():
    augmentation = Augmentation(**(NOTHING | {"level_share": 0.25}))
    wav = speech()
    kept = [np.array_equal(augmentation.change(np.random.default_rng(seed), wav), wav) for seed in range(400)]
    assert np.mean(kept) == pytest.approx(0.75, abs=0.06)


def test_rates_lie_within_the_range():
    augmentation = Augmentation(rate_share=1, rate=0.2)
    rates = np.log([augmentation.draw_rate(np.random.default_rng(seed)) for seed in range(300)])
    assert -0.2 <= rates.min() < -0.15 and 0.15 < rates.max() <= 0.2


def test_level_and_noise_are_in_decibels():
    assert db(changed(1, level_share=1, level_db=(-6, -6))) - db(speech()) == pytest.approx(-6, abs=0.01)
    assert db(changed(1, noise_share=1, noise_db=(-40, -40)) - speech()) == pytest.approx(-40, abs=0.1)


def test_loud_speech_is_kept_below_full_scale():
    wav = changed(1, level_share=1, level_db=(40, 40))
    assert np.abs(wav).max() == np.float32(0.99) and wav.dtype == np.float32


@pytest.mark.parametrize("seconds, loudness", [(0.1, -18), (0.4, -6)])
def test_a_room_dies_away_as_asked(seconds, loudness):
    response = room_response(np.random.default_rng(0), seconds, loudness).astype(np.float64)
    echo = response[RATE // 200 :]
    assert response[0] == 1 and not response[1 : RATE // 200].any()
    assert 10 * np.log10(np.square(echo).sum()) == pytest.approx(loudness, abs=0.01)
    tenth = len(echo) // 10
    assert db(echo[:tenth]) - db(echo[-tenth:]) == pytest.approx(54, abs=3)  # nine tenths of 60
    assert len(echo) == round(seconds * RATE)


def test_a_room_echoes_and_keeps_the_place():
    wav = np.zeros(RATE, np.float32)
    wav[5000] = 1
    heard = in_room(wav, room_response(np.random.default_rng(0), 0.3, -6))
    assert heard.dtype == np.float32 and len(heard) == RATE
    assert np.abs(heard[:4999]).max() < 1e-6 and heard[5000] == pytest.approx(1, abs=1e-5)
    assert np.abs(heard[5120:6000]).max() > 1e-3
    dry, response = speech()[:2000], room_response(np.random.default_rng(1), 0.1, -6)
    assert np.allclose(in_room(dry, response), np.convolve(dry, response)[:2000], atol=1e-5)


def test_rooms_are_part_of_the_defaults_and_rare():
    assert 0 < Augmentation().room_share <= 0.2


@pytest.mark.parametrize(
    "settings",
    [
        dict(rate_share=1.5),
        dict(colour_share=2),
        dict(level_share=-0.1),
        dict(noise_db=(-20, -80)),
        dict(rate=-1),
        dict(room_seconds=(0, 1)),
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        Augmentation(**settings)


def test_a_microphone_colours_within_its_decibels():
    wav = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    changed = coloured(wav, np.random.default_rng(1), 6.0)
    assert changed.shape == wav.shape and changed.dtype == np.float32
    ratio = np.abs(np.fft.rfft(changed)) / np.abs(np.fft.rfft(wav))
    smooth = np.convolve(20 * np.log10(ratio), np.full(101, 1 / 101), "valid")
    assert 4 < np.abs(smooth).max() < 6.5 and np.ptp(smooth) > 5
    assert np.array_equal(changed, coloured(wav, np.random.default_rng(1), 6.0))
    assert np.allclose(coloured(wav, np.random.default_rng(1), 0.0), wav, atol=1e-5)
