"""`minimoshi train codec` as a user meets it: recipes, changes, refusals, and toy runs to a codec that loads."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from minimoshi.cli import main
from minimoshi.config import MimiConfig
from minimoshi.mimi import MimiAudioCodec
from minimoshi.training.recipe import CodecRecipe
from tests.speech_toys import CODEC, toy_corpus

SMALL = ["steps=4", "batch=1", "seconds=0.32", "fit_frames=0", "mel=1", "adversarial=0", "feature=0", "semantic=0"]


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(MimiConfig.PRESETS, "tiny", CODEC.to_dict())


@pytest.fixture
def recordings(tmp_path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("one", "two"):
        time = np.arange(48_000) / 24_000
        soundfile.write(folder / f"{name}.flac", 0.3 * np.sin(2 * np.pi * 300 * time), 24_000)
    return folder


def test_a_recipe_by_name_by_file_and_with_changes(tmp_path):
    assert CodecRecipe.read("tiny", []).start == "decoupled"
    changed = CodecRecipe.read("paper", ["batch=2", "start=tiny", "preset=tiny", "betas=[0.8, 0.9]"])
    assert (changed.batch, changed.start, changed.betas) == (2, "tiny", (0.8, 0.9))
    (tmp_path / "mine.json").write_text(json.dumps({"preset": "tiny", "steps": 7}))
    assert CodecRecipe.read(str(tmp_path / "mine.json"), []).steps == 7


@pytest.mark.parametrize(
    "name, changes, said",
    [
        ("huge", [], "there is no recipe 'huge'; choose one of"),
        ("nothing.json", [], "there is no recipe file nothing.json"),
        ("tiny", ["steps"], "KEY=VALUE"),
        ("tiny", ["stepz=3"], "did you mean 'steps'"),
    ],
)
def test_a_wrong_recipe_is_refused(name, changes, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        CodecRecipe.read(name, changes)


def test_a_folder_of_recordings_becomes_a_codec(toy, tmp_path, recordings, capsys):
    changes = [part for change in SMALL for part in ("--set", change)]
    run = tmp_path / "run"
    arguments = ["train", "codec", "--run-dir", str(run), "--recipe", "paper", "--set", "preset=tiny", *changes]
    assert main([*arguments, "--recordings", str(recordings), "--check-every", "2"]) == 0
    codec = MimiAudioCodec.from_pretrained(run / "mimi")
    assert codec.encode(torch.zeros(1, 1, 3840)).shape == (1, 3, 2)
    rows = [json.loads(line) for line in (run / "end-to-end.log").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert json.loads((run / "recipe.json").read_text())["steps"] == 4
    assert "the codec ->" in capsys.readouterr().out


@pytest.mark.parametrize("distilled", [True, False])
def test_the_corpus_goes_through_all_stages(toy, tmp_path, monkeypatch, distilled):
    toy_corpus(tmp_path / "corpus", monkeypatch)
    toy_corpus(tmp_path / "heldout", monkeypatch, minutes=0.1)
    monkeypatch.setattr("minimoshi.training.speech.make_corpus", lambda *_: None)
    monkeypatch.setattr(
        "minimoshi.training.decoupled.DecoupledRecipe.__init__",
        _short_recipe(monkeypatch),
    )
    switches = ["train_encoder=false", f"semantic={int(distilled)}"]
    changes = [part for change in [*SMALL, *switches] for part in ("--set", change)]
    assert main(["train", "codec", "--run-dir", str(tmp_path), *changes, "--check-every", "4"]) == 0
    assert MimiAudioCodec.from_pretrained(tmp_path / "mimi").n_quantizers == 3
    teacher = torch.load(tmp_path / "teachers.pt", weights_only=True)["teacher"]
    assert any(name.startswith("phone_net") for name in teacher) == distilled


def _short_recipe(monkeypatch):
    from minimoshi.training.decoupled import DecoupledRecipe

    original = DecoupledRecipe.__init__

    def short(self, **values):
        steps = dict(phone_steps=2, teacher_frames=200, encoder_steps=2, exact_steps=2, decoder_steps=2, frames=6)
        original(self, **{"semantic": "phones", **values}, **steps)

    return short


def test_refusals_are_one_line(tmp_path, capsys):
    assert main(["train", "codec", "--run-dir", str(tmp_path), "--human", "fr"]) == 2
    assert "NAME=FOLDER" in capsys.readouterr().err
    assert main(["train", "codec", "--run-dir", str(tmp_path), "--stage", "end-to-end"]) == 2
    assert "run the stage" in capsys.readouterr().err
