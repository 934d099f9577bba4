"""The probes find what was put into made-up tokens, and nothing where nothing is."""

import numpy as np
import pytest

from minimoshi.data.voices import PHONES, SILENCE
from minimoshi.evaluation.probes import abx, phone_labels, table_probe


@pytest.fixture
def labels() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [rng.integers(0, 8, 120) for _ in range(25)]
    for clip in found:
        clip[:5] = -100  # silence
    return found


def test_a_token_that_says_the_phone(labels):
    telling = [clip.clip(0) * 3 for clip in labels]
    assert table_probe(telling, labels, 32)["accuracy"] == 1
    mixed = [clip.clip(0) // 2 for clip in labels]  # two phones a token: at best one in two is right
    assert table_probe(mixed, labels, 32)["accuracy"] == pytest.approx(0.5, abs=0.05)


def test_a_token_that_says_nothing_is_at_chance(labels):
    rng = np.random.default_rng(1)
    silent = [rng.integers(0, 32, len(clip)) for clip in labels]
    found = table_probe(silent, labels, 32)
    assert found["accuracy"] == pytest.approx(found["chance"], abs=0.03)
    assert found["chance"] == pytest.approx(1 / 8, abs=0.03)


def test_no_clip_is_tested_by_its_own_table(labels):
    own = [np.arange(len(clip)) + 120 * i for i, clip in enumerate(labels)]  # every frame its own token
    found = table_probe(own, labels, 120 * len(labels))
    assert found["accuracy"] == found["chance"]
    with pytest.raises(ValueError, match="at least 5 clips, got 4"):
        table_probe(own[:4], labels[:4], 9999)


def test_abx_knows_guessing_from_knowing(labels):
    rng = np.random.default_rng(2)
    speakers = ["anna", "tom"] * 12 + ["anna"]
    places = rng.standard_normal((8, 16))
    knowing = [places[clip.clip(0)] for clip in labels]
    assert abx(knowing, labels, speakers) == 0
    guessing = [rng.standard_normal((len(clip), 16)) for clip in labels]
    assert abx(guessing, labels, speakers) == pytest.approx(0.5, abs=0.02)
    constant = [np.ones((len(clip), 16)) for clip in labels]
    assert abx(constant, labels, speakers) == 0.5
    between = [k + 0.7 * g for k, g in zip(knowing, guessing, strict=True)]
    assert 0 < abx(between, labels, speakers) < 0.3


def test_abx_stays_within_a_speaker(labels):
    """Two speakers whose phones mean the opposite of each other's: only comparisons across them would fail."""
    places = np.random.default_rng(3).standard_normal((8, 16))
    speakers = [str(i % 2) for i in range(len(labels))]
    vectors = [(1 - 2 * (i % 2)) * places[clip.clip(0)] for i, clip in enumerate(labels)]
    assert abx(vectors, labels, speakers) == 0
    assert abx(vectors, labels, ["one"] * len(labels)) > 0.2
    with pytest.raises(ValueError, match="more clips"):
        abx(vectors[:1], labels[:1], speakers[:1])


def test_silence_is_no_phone():
    phones = [[SILENCE, 0.0, 0.08], ["ae", 0.08, 0.24], [SILENCE, 0.24, 0.4]]
    assert phone_labels(phones, 5).tolist() == [-100, PHONES.index("ae"), PHONES.index("ae"), -100, -100]
    assert phone_labels([], 2).tolist() == [-100, -100]
