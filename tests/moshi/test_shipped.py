"""What the shipped conversation must be able to do, on the sample questions: answer, be stopped, stay awake."""

from pathlib import Path

import pytest
import torch

import minimoshi.serving
from minimoshi import FullDuplexDialogueModel
from minimoshi.audio import load_audio

SAMPLES = Path(minimoshi.serving.__file__).parent / "samples"
SECOND = 24_000


@pytest.fixture(scope="module")
def moshi() -> FullDuplexDialogueModel:
    return FullDuplexDialogueModel.from_pretrained("tiny")


def user(*parts: str | float) -> torch.Tensor:
    """Sample questions by name, and silences by their seconds, one after the other: [S]"""
    sounds = {part: load_audio(SAMPLES / f"{part}.flac")[0] for part in parts if isinstance(part, str)}
    return torch.cat([sounds[part] if part in sounds else torch.zeros(round(part * SECOND)) for part in parts])


def test_it_answers_and_sounds_when_it_does(moshi):
    said = moshi.respond(user(0.4, "three-plus-four"), seed=0, silence_after=4)
    assert said.transcript == "three plus four is seven"
    loud = said.stereo[0].unflatten(0, (-1, 1920)).square().mean(1).sqrt()
    first = round(said.text[0][1] * 12.5)
    assert loud[: first - 1].max() < 0.1 * loud.max() < loud[first : first + 25].max()


def test_stop_stops_it_and_silence_does_not(moshi):
    asked = user(0.4, "count-to-nine", 1.5)
    stopped, free = (
        moshi.respond(torch.cat([asked, more]), seed=0, silence_after=4) for more in (user("stop"), torch.zeros(0))
    )
    assert "okay" in stopped.transcript and "okay" not in free.transcript
    assert len(stopped.transcript.split()) < len(free.transcript.split())


def test_it_is_still_there_after_longer_than_its_window(moshi):
    said = moshi.respond(user(0.4, "two-plus-three", 30.0, "opposite-of-hot"), seed=0, silence_after=5)
    assert said.transcript == "two plus three is five the opposite of hot is cold"
