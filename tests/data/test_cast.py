"""Who is never trained on, and that the corpus listens."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from minimoshi.data import corpus
from minimoshi.data.cast import CAST, is_reserved, refuse_held_out_voice, speaker
from minimoshi.data.corpus import Part, build_part
from minimoshi.data.testset import GROUPS
from tests.speech_toys import tone_voice

ROOT = Path(__file__).parents[2]
HELD_OUT = [row.voice for row in CAST if row.role == "held out" and row.voice]


def test_one_moshi_and_two_unseen_voices_at_24_khz():
    assert [row.voice for row in CAST if row.role == "moshi"] == ["hibari"]
    assert sum(voice.startswith("kokoro") for voice in HELD_OUT) == 2
    assert len({row.name for row in CAST}) == len(CAST)


def test_the_groups_of_the_test_set_keep_to_the_table():
    roles = {"moshi": "moshi", "seen": "training", "unseen": "held out"}
    for group, names in GROUPS.items():
        assert {speaker(name).role for name in names} == {roles[group]}
    with pytest.raises(ValueError, match="'nobody': expected one of heart"):
        speaker("nobody")


@pytest.mark.parametrize("voice", [*HELD_OUT, "kokoro:jf_alpha", "kokoro:jm_kumo=0.5,jf_nezumi=0.5"])
def test_held_out_voices_do_not_train(tmp_path, monkeypatch, voice):
    monkeypatch.setattr(corpus, "open_voice", tone_voice)
    with pytest.raises(ValueError, match="held out for tests"):
        build_part(tmp_path, Part("new", voice, 0.1))
    assert build_part(tmp_path, Part("new", voice, 0.1), held_out=True)


def test_training_voices_may():
    for row in CAST:
        if row.role != "held out" and row.voice:
            refuse_held_out_voice(row.voice)


def test_every_clip_that_ships_is_reserved():
    clips = sorted((ROOT / "data_samples").glob("*.flac"))
    assert clips and all(map(is_reserved, clips))


@pytest.mark.parametrize(
    "path",
    [
        "x/sounds/en_US_f_Allison/digits/1.g722",
        "x/sounds/es_MX_f_Allison/hello.g722",
        "x/sounds/fr_CA_f_June/agent-user.g722",
        "x/sounds/it_IT_m_Carlo/auth-incorrect.g722",
        "pocketsphinx/test/data/cards/001.wav",
        "somewhere/sense_and_sensibility_01_austen_64kb-0870.wav",
    ],
)
def test_what_tests_hear_is_reserved(path):
    assert is_reserved(Path(path))


@pytest.mark.parametrize(
    "path",
    ["x/sounds/fr_CA_f_June/hello.g722", "x/sounds/ru_RU_f_IvrvoiceRU/vm-login.g722", "librivox/emma_01.mp3", "a.wav"],
)
def test_what_they_do_not_hear_is_not(path):
    assert not is_reserved(Path(path))


def test_reserved_recordings_stay_out_of_the_corpus(tmp_path):
    wav = tone_voice("")("hello there").wav
    for name in ("en_US_f_Allison/hello", "fr_CA_f_June/agent-user", "fr_CA_f_June/hello"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "in" / f"{name}.wav", wav, 24_000)
    part = Part("human", f"folder:{tmp_path / 'in'}", 9)
    assert len(build_part(tmp_path / "train", part)) == 1
    assert len(build_part(tmp_path / "test", part, held_out=True)) == 3
    only = Part("human", f"folder:{tmp_path / 'in' / 'en_US_f_Allison'}", 9)
    with pytest.raises(FileNotFoundError, match="kept for tests"):
        build_part(tmp_path / "none", only)
    assert np.isfinite(wav).all()
