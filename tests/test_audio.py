"""Sound files: nothing happens to the sound unless asked for, and nothing on disk is lost."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from minimoshi.audio import load_audio, save_audio
from tests.helpers import refused


def tone(hertz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("shape", [(1200,), (1, 1200), (2, 1200)])
def test_written_and_read_again(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    wav = torch.rand(shape) * 2 - 1
    save_audio(tmp_path / f"sound{suffix}", wav)
    back = load_audio(tmp_path / f"sound{suffix}")
    assert back.dtype == torch.float32
    torch.testing.assert_close(back, wav.view(-1, 1200), atol=1 / 32768, rtol=0)
    info = soundfile.info(tmp_path / f"sound{suffix}")
    assert (info.samplerate, info.subtype) == (24_000, "PCM_16")


def test_sound_beyond_full_scale_is_clipped_not_wrapped(tmp_path: Path) -> None:
    save_audio(tmp_path / "loud.wav", torch.tensor([1.5, -1.5]))
    assert load_audio(tmp_path / "loud.wav")[0].tolist() == pytest.approx([1, -1], abs=1e-4)


def test_stereo_stays_stereo_unless_mono_is_asked_for(tmp_path: Path) -> None:
    save_audio(tmp_path / "two.wav", torch.tensor([[0.5, 0.5], [0.25, -0.5]]))
    assert load_audio(tmp_path / "two.wav").shape == (2, 2)
    assert load_audio(tmp_path / "two.wav", mono=True)[0].tolist() == pytest.approx([0.375, 0], abs=1e-4)


def test_another_rate_is_refused_unless_resampling_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    soundfile.write(path, tone(440, 16_000), 16_000)
    with refused(None, "slow.wav", "16000 Hz", "24000 Hz", "resample=True", "--resample"):
        load_audio(path)
    assert load_audio(path, 16_000).shape == (1, 8000)
    wav = load_audio(path, resample=True)
    assert wav.shape == (1, 12_000)
    middle = slice(1000, 11_000)
    expected = torch.from_numpy(tone(440, 24_000)).float()
    assert (wav[0, middle] - expected[middle]).abs().max() < 0.01


def unreadable(folder: Path) -> dict[str, tuple[Path, type[Exception], str]]:
    soundfile.write(folder / "empty.wav", np.zeros(0), 24_000)
    soundfile.write(folder / "nan.wav", np.array([0.0, np.nan]), 24_000, subtype="FLOAT")
    (folder / "garbage.wav").write_bytes(b"this is not sound")
    (folder / "nothing.flac").write_bytes(b"")
    return {
        "missing": (folder / "missing.wav", FileNotFoundError, "no sound file"),
        "folder": (folder, ValueError, "is a folder"),
        "garbage": (folder / "garbage.wav", ValueError, "can be read"),
        "zero bytes": (folder / "nothing.flac", ValueError, "can be read"),
        "no samples": (folder / "empty.wav", ValueError, "no samples"),
        "NaN": (folder / "nan.wav", ValueError, "NaN"),
    }


@pytest.mark.parametrize("case", ["missing", "folder", "garbage", "zero bytes", "no samples", "NaN"])
def test_unreadable_files_are_named(tmp_path: Path, case: str) -> None:
    path, error, words = unreadable(tmp_path)[case]
    with refused(None, path.name, words, error=error):
        load_audio(path)


def test_a_truncated_file_is_refused_or_read_as_far_as_it_goes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.flac", tone(440, 24_000), 24_000)
    data = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    with refused(None, "cut.flac"):
        load_audio(tmp_path / "cut.flac")


@pytest.mark.parametrize("name", ["there.wav", "there.xyz", "there"])
def test_an_existing_file_is_kept_unless_forced(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("mine")
    with refused(None, name, "exists", "force=True", "--force"):
        save_audio(path, torch.zeros(10))
    assert path.read_text() == "mine"
    if path.suffix == ".wav":
        save_audio(path, torch.zeros(10), force=True)
        assert load_audio(path).shape == (1, 10)


@pytest.mark.parametrize("name", ["sound.xyz", "sound", "sound.mp3"])
def test_a_format_that_cannot_be_written_leaves_no_trace(tmp_path: Path, name: str) -> None:
    with refused(None, name, ".wav or .flac"):
        save_audio(tmp_path / name, torch.zeros(10))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).write_text("mine")
    with refused(None, ".wav or .flac"):
        save_audio(tmp_path / name, torch.zeros(10), force=True)
    assert (tmp_path / name).read_text() == "mine"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with refused(None, "missing", "does not exist", error=FileNotFoundError):
        save_audio(tmp_path / "missing" / "sound.wav", torch.zeros(10))
    with refused(None, "is a folder"):
        save_audio(tmp_path, torch.zeros(10), force=True)


@pytest.mark.parametrize(
    "wav, words",
    [
        (torch.zeros(1, 1, 10), ["[S] or [channels, S]", "[1, 1, 10]"]),
        (torch.zeros(10, dtype=torch.int16), ["float", "int16"]),
        (torch.tensor([0.0, float("nan")]), ["NaN"]),
    ],
)
def test_what_is_no_sound_is_not_written(tmp_path: Path, wav: torch.Tensor, words: list[str]) -> None:
    with refused(None, *words):
        save_audio(tmp_path / "sound.wav", wav)
    assert list(tmp_path.iterdir()) == []
