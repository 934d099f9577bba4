"""What the shipped conversation must be able to do, on the sample questions: answer, be stopped, stay awake."""

import pytest
import torch

from minimoshi import FullDuplexDialogueModel, MoshiConfig
from minimoshi.lab import questions
from minimoshi.moshi import Transcriber


@pytest.fixture(scope="module")
def moshi() -> FullDuplexDialogueModel:
    return FullDuplexDialogueModel.from_pretrained("tiny")


def test_it_has_the_sizes_of_its_preset(moshi):
    preset, listens = MoshiConfig.preset("tiny"), Transcriber.from_pretrained("tiny").generator.config
    assert moshi.generator.config == preset
    assert listens == preset.transcriber(listens.delays[0]) and 4 * listens.helium.context == preset.helium.context


def test_it_answers_and_sounds_when_it_does(moshi):
    said = moshi.respond(questions(0.4, "three-plus-four"), seed=0, silence_after=4)
    assert said.transcript == "three plus four is seven"
    loud = said.stereo[0].unflatten(0, (-1, 1920)).square().mean(1).sqrt()
    first = round(said.text[0][1] * 12.5)
    assert loud[: first - 1].max() < 0.1 * loud.max() < loud[first : first + 25].max()


def test_stop_stops_it_and_silence_does_not(moshi):
    asked = questions(0.4, "count-to-nine", 1.5)
    stopped, free = (
        moshi.respond(torch.cat([asked, more]), seed=0, silence_after=4) for more in (questions("stop"), torch.zeros(0))
    )
    assert "okay" in stopped.transcript and "okay" not in free.transcript
    assert len(stopped.transcript.split()) < len(free.transcript.split())


def test_it_is_still_there_after_longer_than_its_window(moshi):
    said = moshi.respond(questions(0.4, "two-plus-three", 30.0, "opposite-of-hot"), seed=0, silence_after=5)
    assert said.transcript == "two plus three is five the opposite of hot is cold"
