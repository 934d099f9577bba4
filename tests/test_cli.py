"""The command line as a user meets it: what it writes, and how it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from minimoshi.cli import main
from minimoshi.costs import costs
from minimoshi.start import start

SPEECH = Path(__file__).parents[1] / "data_samples" / "allison_monkeys.flac"


def write(path, samples, rate=24_000, **options):
    soundfile.write(path, samples, rate, **options)
    return str(path)


@pytest.fixture
def speech(tmp_path):
    samples, rate = soundfile.read(SPEECH, frames=12_000, start=12_000)
    return write(tmp_path / "in.wav", samples, rate)


def refusal(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err


def test_codec_writes_sound_of_the_same_length_and_says_what_it_did(tmp_path, speech, capsys):
    assert main(["codec", speech, str(tmp_path / "out.wav"), "--quantizers", "4"]) == 0
    samples, rate = soundfile.read(tmp_path / "out.wav")
    assert (rate, samples.shape) == (24_000, (12_000,))
    printed = capsys.readouterr().out
    assert "7 frames x 4 codebooks at 12.5 Hz = 450 bit/s" in printed and "log-mel distance" in printed


def test_talk_writes_both_sides_and_the_words(tmp_path, speech, capsys):
    assert main(["talk", speech, str(tmp_path / "out.wav"), "--silence-after", "0.5", "--seed", "3"]) == 0
    stereo, rate = soundfile.read(tmp_path / "out.wav")
    said, _ = soundfile.read(speech)
    assert rate == 24_000 and stereo.shape == (13 * 1920, 2)
    assert np.abs(stereo[:12_000, 1] - said).max() < 1e-4 and not stereo[12_000:, 1].any()
    words = json.loads((tmp_path / "out.json").read_text())
    assert set(words) == {"text", "words"}
    assert "Moshi:" in capsys.readouterr().out


def test_say_speaks_and_names_the_words_it_has_never_heard(tmp_path, capsys):
    assert main(["say", "Hello purple Anna", str(tmp_path / "out.wav")]) == 0
    samples, rate = soundfile.read(tmp_path / "out.wav")
    assert rate == 24_000 and 0.5 < len(samples) / rate < 5 and np.abs(samples).max() > 0.05
    printed = capsys.readouterr()
    assert "s of speech in" in printed.out and "never heard in the mini-world: purple;" in printed.err
    assert main(["say", "hello anna", str(tmp_path / "again.wav")]) == 0
    assert not capsys.readouterr().err


def test_talk_repeats_itself_with_the_same_seed(tmp_path, speech):
    # hot enough that even Moshi's silence is drawn at random
    options = ["--silence-after", "0", "--temperature", "4", "--text-temperature", "4"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["talk", speech, str(tmp_path / f"{name}.wav"), *options, "--seed", str(seed)]) == 0
    a, b, c = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("command", ["codec", "talk"])
def test_bad_sound_is_refused_with_what_to_do(command, tmp_path, capsys):
    out = tmp_path / "out.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((4000, 2))
    stereo = write(tmp_path / "stereo.wav", noise)
    slow = write(tmp_path / "slow.wav", noise[:, 0], 16_000)
    broken = write(tmp_path / "nan.wav", np.array([0.1, np.nan]), subtype="FLOAT")
    empty = write(tmp_path / "empty.wav", np.zeros(0))
    text = tmp_path / "text.wav"
    text.write_text("not a sound")
    for path, said in (
        (stereo, "--mono"),
        (slow, "--resample"),
        (broken, "NaN"),
        (empty, "no samples"),
        (text, "not a sound file"),
        (tmp_path / "missing.wav", "no sound file"),
    ):
        assert said in refusal(capsys, command, path, out)
        assert not out.exists()
    assert main([command, stereo, str(out), "--mono"]) == 0
    assert main([command, slow, str(out), "--resample", "--force"]) == 0


@pytest.mark.parametrize("command", ["codec", "talk"])
def test_existing_files_are_kept_unless_forced(command, tmp_path, speech, capsys):
    out = tmp_path / "out.wav"
    out.write_text("mine")
    assert "--force" in refusal(capsys, command, speech, out)
    assert out.read_text() == "mine"
    assert main([command, speech, str(out), "--force"]) == 0
    assert "folder" in refusal(capsys, command, speech, tmp_path / "missing" / "out.wav")


def test_talk_keeps_an_existing_transcript(tmp_path, speech, capsys):
    (tmp_path / "out.json").write_text("mine")
    assert "--force" in refusal(capsys, "talk", speech, tmp_path / "out.wav")
    assert (tmp_path / "out.json").read_text() == "mine" and not (tmp_path / "out.wav").exists()


def test_unknown_models_and_numbers_are_refused(tmp_path, speech, capsys):
    assert "shipped" in refusal(capsys, "codec", speech, tmp_path / "o.wav", "--model", "huge")
    assert "--quantizers must be 1 to 8, got 99" in refusal(
        capsys, "codec", speech, tmp_path / "o.wav", "--quantizers", "99"
    )
    assert "temperature" in refusal(capsys, "talk", speech, tmp_path / "o.wav", "--temperature", "-1")
    assert "silence_after" in refusal(capsys, "talk", speech, tmp_path / "o.wav", "--silence-after", "-1")
    assert "there is no case" in refusal(capsys, "bench", "--only", "everything")
    assert not (tmp_path / "o.wav").exists()


def test_doctor_is_well_here(capsys):
    assert main(["doctor"]) == 0
    assert "all well" in capsys.readouterr().out


def test_info_counts_the_paper_s_model(capsys):
    assert main(["info", "full"]) == 0
    assert "79,308,609" not in capsys.readouterr().out  # told by its parts, which add up:
    parts = costs("full").parameters
    codec = sum(count for name, count in parts.items() if name.startswith("Mimi"))
    assert (sum(parts.values()) - codec, codec) == (7_687_729_152, 79_308_609)


def test_bench_prints_a_table_and_writes_json(tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert main(["bench", "--only", "tiny-frame", "--calls", "3", "--no-official", "--json", str(out)]) == 0
    assert "tiny, whole frame" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["threads"] == 1 and 0 < result["rows"][0]["median_ms"] <= result["rows"][0]["p99_ms"]
    assert "--force" in refusal(capsys, "bench", "--only", "tiny-frame", "--json", out)


def test_start_copies_the_course_and_never_overwrites(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main(["start", str(folder)]) == 0
    notebook = folder / "notebooks" / "00_start_here.ipynb"
    assert (
        notebook.exists() and (folder / "data_samples" / "LICENSES.md").exists() and (folder / "progress.json").exists()
    )
    notebook.write_text("my work")
    (folder / "data_samples" / "LICENSES.md").unlink()
    assert start(folder)[1] == 1
    assert notebook.read_text() == "my work"
    assert "folder of your own" in refusal(capsys, "start", Path(__file__).parents[1])


@pytest.mark.parametrize("command", ["codec", "talk"])
def test_an_ending_that_is_no_sound_is_refused_at_once(command, tmp_path, speech, capsys):
    assert "ending '.json'" in refusal(capsys, command, speech, tmp_path / "out.json")
    assert "is a folder" in refusal(capsys, command, tmp_path, tmp_path / "out.wav")


def test_a_few_samples_are_coded_but_not_measured(tmp_path, capsys):
    blip = write(tmp_path / "blip.wav", np.full(10, 0.1))
    assert main(["codec", blip, str(tmp_path / "out.wav")]) == 0
    assert "too short to measure" in capsys.readouterr().out
