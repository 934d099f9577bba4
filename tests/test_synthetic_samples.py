"""The synthetic clips: the same sentences in four voices, two of which keep the same time, and frames with phones."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file

FOLDER = Path(__file__).parents[1] / "data_samples" / "synthetic"
PAGES = {"transcripts.json", "make_synthetic.py", "frames.safetensors"}
CLIPS = json.loads((FOLDER / "transcripts.json").read_text(encoding="utf-8"))
NAMES = [clip["file"] for clip in CLIPS]
VOICES = ("heart", "deep", "slt", "rms")


def make_synthetic():  # noqa: ANN201 (a module)
    spec = importlib.util.spec_from_file_location("make_synthetic", FOLDER / "make_synthetic.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_is_missing_and_nothing_is_extra() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {*NAMES, *PAGES}
    assert NAMES == [f"{voice}_{number}.flac" for voice in VOICES for number in range(1, 7)]
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 2_000_000


@pytest.mark.parametrize("clip", CLIPS, ids=NAMES)
def test_clip_is_what_its_row_says(clip: dict) -> None:
    samples, rate = soundfile.read(FOLDER / clip["file"])
    info = soundfile.info(FOLDER / clip["file"])
    assert (rate, info.channels, info.subtype) == (24000, 1, "PCM_16")
    assert clip["seconds"] == pytest.approx(info.duration, abs=1e-3) and 1.5 <= info.duration <= 4
    assert clip["speaker"] == clip["file"].split("_")[0] and clip["language"] == "en"
    assert [word for word, _ in clip["words"]] == re.findall(r"[a-z']+", clip["text"].lower())
    for spans in (clip["words"], clip["phones"]):
        times = [time for _, span in spans for time in span]
        assert times == sorted(times) and times[0] >= 0
    speech = samples[int(clip["words"][0][1][0] * rate) : int(clip["words"][-1][1][1] * rate)]
    assert np.square(speech).sum() > 0.95 * np.square(samples).sum()


@pytest.mark.parametrize("number", range(6))
def test_everybody_says_the_same_and_two_keep_the_same_time(number: int) -> None:
    heart, deep, slt, rms = (CLIPS[6 * place + number] for place in range(4))
    assert len({clip["text"] for clip in (heart, deep, slt, rms)}) == 1
    for same in ("seconds", "words", "phones"):
        assert heart[same] == deep[same]
    assert slt["seconds"] != heart["seconds"]
    first, second = (soundfile.read(FOLDER / clip["file"])[0] for clip in (heart, deep))
    assert len(first) == len(second) and not np.allclose(first, second, atol=0.01)


def test_frames_belong_together() -> None:
    frames = load_file(FOLDER / "frames.safetensors")
    n = len(frames["latent"])
    assert n > 7000 and frames["latent"].shape == (n, 32) and frames["phones"].shape == (n, 4)
    assert frames["phones"].max() <= 40 and 0.5 < (frames["phones"] > 0).float().mean() < 0.95
    assert frames["voice"].unique().tolist() == list(range(6))
    sentences = frames["sentence"].long()
    assert (sentences[1:] - sentences[:-1]).unique().tolist() == [0, 1]
    picture = (frames["latent"] * frames["scale"]) @ frames["basis"] + frames["mean"]
    silent, loud = (picture[(frames["phones"] == 0).all(1)], picture[(frames["phones"] > 0).all(1)])
    assert silent.mean() < loud.mean() - 1


@pytest.mark.parametrize("voice", VOICES)
def test_every_voice_has_a_licence_row(voice: str) -> None:
    page = (FOLDER.parent / "LICENSES.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `") and f"`{voice}_*.flac`" in line)
    assert "Apache-2.0" in row or "BSD" in row


def test_a_clip_can_be_made_again() -> None:
    pytest.importorskip("hibari")
    pytest.importorskip("onnx")
    module = make_synthetic()
    speech = module.open_voice(module.CLIP_VOICES["deep"])(module.SENTENCES[0])
    start, end = max(0.0, speech.words[0].start - 0.08), speech.words[-1].end + 0.08
    made = module.loud(speech.wav[round(start * 24000) : round(end * 24000)])
    stored = soundfile.read(FOLDER / "deep_1.flac")[0]
    assert len(made) == len(stored)
    # by their spectra: from one processor to another the engine's phases move, and the sound is the same
    assert np.corrcoef(log_spectrum(made), log_spectrum(stored))[0, 1] > 0.97
    other = soundfile.read(FOLDER / "heart_1.flac")[0]
    assert np.corrcoef(log_spectrum(other), log_spectrum(stored))[0, 1] < 0.9


def log_spectrum(wav: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(wav, 1024)[::256]
    return np.log(np.abs(np.fft.rfft(windows * np.hanning(1024))) + 0.05).ravel()
