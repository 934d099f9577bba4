"""A whole card, made with a toy codec and judges that are paid for what they say."""

import argparse
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from minimoshi.data.voices.phones import PHONES, SILENCE
from minimoshi.evaluation import report, systems, tokens
from minimoshi.evaluation.clips import GROUPS
from minimoshi.mimi import MimiAudioCodec
from tests.speech_toys import CODEC, tone_voice

TEXTS = ("ab cd", "cd ab")
SOUND = ["stoi", "pesq", "mel"]


@pytest.fixture(scope="module")
def test_set(tmp_path_factory):
    folder, rows = tmp_path_factory.mktemp("test set"), []
    for group in GROUPS:
        for i, text in enumerate(TEXTS):
            speech = tone_voice("")(text)
            soundfile.write(folder / f"{group}{i}.flac", speech.wav, 24_000)
            phones = [[s.label, s.start, s.end] for s in speech.phones] if group != "human" else []
            row = {"file": f"{group}{i}.flac", "text": text, "speaker": f"{group}'s", "language": "en"}
            rows.append(row | {"group": group, "phones": phones})
    (folder / "transcripts.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("codec")
    MimiAudioCodec(CODEC).save_pretrained(folder)
    return folder


@pytest.fixture
def made(monkeypatch):
    """Measures without their packages; counts how often each was asked."""
    asked = {name: 0 for name in ("tiny.en", "base", *SOUND, "mos", "speaker")}

    def hearing(name, cache):
        def hear(wav, rate):
            asked[name] += 1
            return "ab" if name == "base" else "ab cd"

        return hear

    def measuring(name, value):
        def measure(original, copy):
            asked[name] += 1
            assert original.shape == copy.shape
            return value if name != "pesq" else math.nan

        return measure

    monkeypatch.setattr(systems, "judge", hearing)
    for name in asked.keys() - {"tiny.en", "base"}:
        monkeypatch.setitem(systems.MEASURES, name, measuring(name, 0.5))
    monkeypatch.setattr(systems.baselines, "codec2", lambda wav: 0.5 * wav)
    monkeypatch.setattr(systems.baselines, "opus", lambda wav: 0.25 * wav)
    monkeypatch.setattr("minimoshi.evaluation.figures.baselines.codec2", lambda wav: 0.5 * wav)
    monkeypatch.setattr(report, "check_packages", lambda quick, baselines: None)
    return asked


def options(*arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def full(codec, test_set, out, *more):
    return options(codec, "--test-set", test_set, "--out", out, "--cache", out.parent / "cache", *more)


def test_the_whole_card(codec, test_set, tmp_path, made, capsys):
    out = tmp_path / "card"
    assert report.run(full(codec, test_set, out, "--against", codec)) is None
    card = json.loads((out / "card.json").read_text())
    assert list(card["groups"]) == list(GROUPS) and card["judges"] == ["tiny.en", "base"]
    moshi = card["groups"]["moshi"]["systems"]
    assert list(moshi) == ["original", "codec 1", "codec 2", "codec 3", "unquantised", "codec2", "opus"]
    assert moshi["codec 3"]["wer"]["tiny.en"]["rate"] == 0.5  # 0 + 2 errors in four words
    assert moshi["codec 3"]["added"]["tiny.en"]["rate"] == 0
    assert list(moshi["codec 2"]["wer"]) == ["tiny.en"] and list(moshi["codec2"]["wer"]) == ["tiny.en", "base"]
    assert moshi["codec 3"]["stoi"] == 0.5 and moshi["codec 3"]["pesq"] is None
    assert "mos" in moshi["original"] and "stoi" not in moshi["original"]
    assert len(card["tokens"]["perplexity"]) == len(card["tokens"]["idempotence_40ms"]) == 3
    assert card["probes"]["clips"] == 6 and card["against"]["phone"] == card["probes"]["phone"]
    gain = next(bar for bar in card["bars"] if "phone probe" in bar["what"])
    assert gain["value"] == 1 and gain["passed"] is False

    text = (out / "card.md").read_text()
    assert f"minimoshi evaluate codec {codec} --test-set" in text and "nan" not in text.lower()
    for name in ("words", "usage", "measures", "probes", "spectrogram"):
        assert f"({name}.png)" in text and (out / f"{name}.png").stat().st_size > 5_000
    rate = moshi["codec 3"]["wer"]["tiny.en"]
    assert rate["low"] < rate["rate"] < rate["high"]
    assert f"{100 * rate['rate']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]" in text
    heard = json.loads((out / "clips.json").read_text())
    assert heard[0]["systems"]["codec 3"]["heard"]["base"] == "ab"
    assert "| words lost, moshi, tiny.en | 0.000 | ≤ 0.03 | reached |" in capsys.readouterr().out


def test_nothing_is_measured_twice(codec, test_set, tmp_path, made):
    clips = report.first_of_each(report.load_clips(test_set), 1)
    model, plan = MimiAudioCodec.from_pretrained(codec).eval(), systems.Plan(3)
    rows = systems.measure_clips(model, clips, plan, systems.Memo(tmp_path))
    first = dict(made)
    assert min(first.values()) > 0
    assert systems.measure_clips(model, clips, plan, systems.Memo(tmp_path)) == rows
    assert made == first


def test_a_quick_look(codec, test_set, tmp_path, made):
    report.run(full(codec, test_set, tmp_path / "card", "--quick", "--clips", "1"))
    card = json.loads((tmp_path / "card" / "card.json").read_text())
    assert made["base"] == made["mos"] == made["speaker"] == 0
    found = card["groups"]["human"]
    assert found["clips"] == 1 and list(found["systems"]) == ["original", "codec 3", "unquantised"]
    assert card["tokens"]["frames"] > card["groups"]["moshi"]["seconds"] * 12.5 * 4  # of all clips
    verdicts = {bar["what"]: bar["passed"] for bar in card["bars"]}
    assert verdicts["PESQ, moshi"] is None and verdicts["STOI, moshi"] is False
    assert (tmp_path / "card" / "measures.png").exists()


def test_a_card_is_not_overwritten_unasked(codec, test_set, tmp_path, made):
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(ValueError, match="--force"):
        report.run(options(codec, "--test-set", test_set, "--out", tmp_path))
    assert (tmp_path / "card.json").read_text() == "{}"
    with pytest.raises(ValueError, match="--clips must be at least 1"):
        report.run(full(codec, test_set, tmp_path / "other", "--clips", "0"))


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs pesq, pystoi, faster-whisper: pip install"):
        report.check_packages(quick=True, baselines=False)
    with pytest.raises(ImportError, match="resemblyzer"):
        report.check_packages(quick=False, baselines=False)


def test_speech_without_phone_times_has_no_probes(codec, test_set, made):
    clips = [clip for clip in report.load_clips(test_set) if clip.group == "human"]
    model = MimiAudioCodec.from_pretrained(codec).eval()
    assert tokens.phone_probe(model, clips, tokens.read_tokens(model, clips)) == {}


def test_a_codec_that_names_phones_late_is_asked_late(monkeypatch):
    rng, size, names = np.random.default_rng(0), 8, [phone for phone in PHONES if phone != SILENCE]
    clips, codes = [], []
    for n in range(10):
        frames = rng.integers(1, size, 40)
        phones = [[names[p], 0.08 * i, 0.08 * (i + 1)] for i, p in enumerate(frames)]
        clips.append(SimpleNamespace(phones=phones, speaker=str(n % 2)))
        codes.append(torch.from_numpy(np.stack([np.roll(frames, 1), rng.integers(0, size, 40)])))
    codec = SimpleNamespace(config=SimpleNamespace(codebook_size=size), n_quantizers=2)
    monkeypatch.setattr(tokens, "latents", lambda codec, code: torch.nn.functional.one_hot(code, size).float())
    found = tokens.phone_probe(codec, clips, codes)
    assert found["late"] == 0.08 and found["phone"][0] > 0.95 > 0.4 > found["phone"][1]
    assert found["abx"][0] < 0.05 < 0.4 < found["abx"][1]
