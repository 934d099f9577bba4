"""The codec's report: which clips it takes, and the measures per speaker."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from minimoshi.evaluation import codec as report
from tests.speech_toys import tone_voice


@pytest.fixture
def folder(tmp_path):
    rows = []
    for i, (speaker, language) in enumerate([("anna", "en"), ("anna", "en"), ("tom", "en"), ("june", "fr")]):
        wav = tone_voice("")("hello there again and again").wav
        soundfile.write(tmp_path / f"{i}.flac", wav, 24_000)
        rows.append({"file": f"{i}.flac", "text": "hello there again", "speaker": speaker, "language": language})
    (tmp_path / "transcripts.json").write_text(json.dumps(rows))
    return tmp_path


def test_only_english_and_no_more_than_asked(folder):
    assert [clip["speaker"] for clip in report.load_clips(folder)] == ["anna", "anna", "tom"]
    assert [clip["speaker"] for clip in report.load_clips(folder, limit=1)] == ["anna", "tom"]


def test_a_folder_without_transcripts_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="transcripts.json"):
        report.load_clips(tmp_path)


def test_a_clip_at_another_rate_is_refused(folder):
    soundfile.write(folder / "0.flac", np.zeros(16_000), 16_000)
    with pytest.raises(ValueError, match="16000 Hz.*expected 24 kHz mono"):
        report.load_clips(folder)


def test_measures_are_gathered_per_speaker(folder, monkeypatch):
    def measure(original, copy, text):
        assert text == "hello there again" and original.shape == copy.shape
        return dict(errors=1, words=3, stoi=0.5, pesq=float("nan"), mel=float(np.abs(original - copy).mean()))

    class Halving:
        """A codec that halves the sound."""

        def encode(self, wav):
            return wav[:, :, None]

        def decode(self, codes):
            return codes[:, :, 0] / 2

    monkeypatch.setattr(report, "measure", measure)
    table = report.evaluate(Halving(), report.load_clips(folder))
    assert list(table) == ["anna", "tom"]
    assert table["anna"]["clips"] == 2 and table["anna"]["words"] == 6
    assert table["anna"]["wer"] == pytest.approx(1 / 3)
    assert table["anna"]["mel"] > 0
    assert report.evaluate(None, report.load_clips(folder))["anna"]["mel"] == 0


def test_the_real_measures_know_a_copy_from_a_noisy_one(monkeypatch):
    for package in ("pesq", "pystoi"):
        pytest.importorskip(package, reason="the measures are in the extra 'train'")
    monkeypatch.setattr(report, "judge", lambda: lambda wav, rate: "hello there")
    time = np.arange(48_000) / 24_000
    wav = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 30)) * (np.sin(2 * np.pi * 3 * time) > 0)
    wav = (0.05 * wav).astype(np.float32)
    noisy = wav + 0.05 * torch.randn(len(wav), generator=torch.Generator().manual_seed(0)).numpy()
    same, worse = (SimpleNamespace(**report.measure(wav, copy, "hello there")) for copy in (wav, noisy))
    assert same.errors == worse.errors == 0 and same.words == 2
    assert same.stoi > 0.99 and same.mel < 1e-6 and same.pesq > 4
    assert worse.stoi < same.stoi and worse.pesq < same.pesq and worse.mel > 0.1
