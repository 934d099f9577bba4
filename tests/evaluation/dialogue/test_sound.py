"""An episode as sound: takes where the script puts them, without a seam, in their background, with an echo if asked."""

import random
import shutil

import numpy as np
import pytest

from minimoshi.data.miniworld import EpisodeMaker, Takes, exchange
from minimoshi.data.miniworld.bank import User, record_user
from minimoshi.data.miniworld.coding import FRAME
from minimoshi.data.miniworld.episodes import Episode
from minimoshi.data.miniworld.sound import Echo, render
from minimoshi.evaluation.dialogue.activity import stretches
from tests.evaluation.dialogue.conftest import tone_words


@pytest.fixture(scope="module")
def episode(world, tmp_path_factory) -> Episode:
    """A count that is stopped."""
    folder = tmp_path_factory.mktemp("takes")
    for file in world.folder.with_name("episodes.takes").glob("moshi.*"):
        shutil.copy(file, folder)
    asked = exchange("stop", random.Random(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minimoshi.data.miniworld.bank.open_voice", tone_words)
        record_user(folder, User("somebody", "hibari:speed=1"), [*asked.user, asked.breaks])
    return EpisodeMaker(Takes(folder)).play(random.Random(1), [asked], "somebody")


def test_sound_is_where_the_facts_say(episode):
    dialogue = render(episode)
    fact = dialogue.facts["exchanges"][0]
    user = stretches(dialogue.stereo[1])
    assert user[0].start == pytest.approx(fact["start"], abs=0.02)
    assert any(s.end == pytest.approx(fact["asked"], abs=0.02) for s in user)
    assert any(s.end == pytest.approx(fact["broken"][1], abs=0.02) for s in user)
    moshi = stretches(dialogue.stereo[0])
    silenced = round(fact["silenced"] * 24_000)
    assert not dialogue.stereo[0, silenced + 120 : silenced + FRAME].any()
    assert moshi[-1].start > fact["end"] and fact["expected"] == "okay"
    assert dialogue.stereo.shape[1] == episode.frames * FRAME and dialogue.said_by("moshi")[-1].text == "okay"


def test_an_echo_is_moshi_later_and_softer(episode):
    dry, wet = render(episode), render(episode, echo=Echo(-20.0, 0.1))
    assert np.array_equal(dry.stereo[0], wet.stereo[0])
    late = 2400
    added = (wet.stereo[1] - dry.stereo[1])[late:]
    assert np.allclose(added, 0.1 * dry.stereo[0][:-late], atol=1e-5)


def test_gain_is_the_users_alone(episode):
    plain, soft = render(episode), render(episode, gain_db=-6.0)
    assert np.array_equal(plain.stereo[0], soft.stereo[0])
    assert np.abs(soft.stereo[1]).max() == pytest.approx(np.abs(plain.stereo[1]).max() * 10 ** (-6 / 20), rel=1e-3)


def test_an_episode_without_a_word_says_so(episode):
    quiet = render(Episode(10, episode.user))
    assert quiet.facts["moshi_silent"] and not quiet.stereo.any() and quiet.words == []
