"""Crops of folders of recordings: formats, rates, channels, and files that are not what they seem."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from minimoshi.data import recordings
from minimoshi.data.augment import Augmentation
from minimoshi.data.recordings import FolderCrops, UnreadableRecordingError, read_recording, read_stretch

RATE = 24_000


def tone(seconds: float, pitch: float = 440.0, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def write(path: Path, wav: np.ndarray, rate: int = RATE, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav, rate, **settings)
    return path


def pitch_of(wav: np.ndarray) -> float:
    return np.abs(np.fft.rfft(wav * np.hanning(len(wav)))).argmax() * RATE / len(wav)


def plain(folder: Path, **settings) -> FolderCrops:
    return FolderCrops(folder, augment=False, **settings)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_every_format_and_rate_keeps_its_pitch(tmp_path, suffix, rate):
    write(tmp_path / f"a.{suffix}", tone(2.0, 500.0, rate), rate)
    wav, phones = plain(tmp_path, resample=True).batch(np.random.default_rng(0), 2, 9600)
    assert wav.shape == (2, 1, 9600) and wav.dtype == np.float32
    assert phones.shape == (2, 5) and (phones == -100).all()
    for crop in wav[:, 0]:
        assert pitch_of(crop) == pytest.approx(500, abs=3)
        assert np.abs(crop).max() == pytest.approx(0.3, rel=0.15)


def test_another_rate_is_an_error_unless_asked_for(tmp_path):
    write(tmp_path / "a.wav", tone(1.0, rate=44_100), 44_100)
    with pytest.raises(ValueError, match=r"a\.wav: 44100 Hz, expected 24000; resample=True"):
        plain(tmp_path)


@pytest.mark.parametrize("channels, pitches", [("left", {440}), ("right", {880}), ("mix", {440, 880})])
def test_stereo_by_choice(tmp_path, channels, pitches):
    write(tmp_path / "a.flac", np.stack([tone(1.0, 440), tone(1.0, 880)], 1))
    crop = plain(tmp_path, channels=channels).draw(np.random.default_rng(0), 12_000)
    spectrum = np.abs(np.fft.rfft(crop * np.hanning(12_000))) / 12_000 * 4
    loudness = 0.3 / len(pitches)
    for pitch in (440, 880):
        assert spectrum[pitch // 2] == pytest.approx(loudness if pitch in pitches else 0, abs=0.01)


def test_stereo_is_refused_without_a_choice(tmp_path):
    write(tmp_path / "a.wav", np.stack([tone(1.0)] * 2, 1))
    with pytest.raises(ValueError, match=r"a\.wav: 2 channels, expected a mono recording; choose"):
        plain(tmp_path)
    with pytest.raises(ValueError, match="'both': expected 'mix'"):
        plain(tmp_path, channels="both")


def test_more_channels_than_two_are_refused(tmp_path):
    write(tmp_path / "a.wav", np.stack([tone(1.0)] * 3, 1))
    with pytest.raises(ValueError, match="3 channels"):
        plain(tmp_path, channels="mix")


@pytest.fixture
def mixed_folder(tmp_path):
    """One good recording among a text file by a sound's name, an empty one, a short one and a cut one."""
    write(tmp_path / "deep" / "down" / "good.WAV", tone(1.0))
    (tmp_path / "words.wav").write_text("this is no sound")
    (tmp_path / "empty.flac").touch()
    (tmp_path / "cover.jpg").write_text("a picture")
    write(tmp_path / "short.ogg", tone(0.2))
    whole = write(tmp_path / "cut.flac", np.random.default_rng(0).normal(0, 0.1, RATE * 5))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 50])
    return tmp_path


def test_files_that_cannot_be_used_are_named_and_counted(mixed_folder, caplog):
    crops = plain(mixed_folder)
    for seed in range(20):
        crop = crops.draw(np.random.default_rng(seed), 9600)
        assert pitch_of(crop) == pytest.approx(440, abs=3)
    reasons = {path.name: reason for path, reason in crops.skipped.items()}
    assert reasons.keys() == {"words.wav", "empty.flac", "short.ogg", "cut.flac"}
    assert reasons["short.ogg"] == "0.20 s, shorter than 0.5 s"
    assert all(name in caplog.text for name in reasons)
    assert "2 recordings taken, 3 skipped" in caplog.text  # the cut one is found out when it is read


def test_what_is_drawn_depends_on_the_seed_alone(mixed_folder):
    """Also when a broken file was met before: a run that is resumed sees what the whole run saw."""
    write(mixed_folder / "b.mp3", np.random.default_rng(1).normal(0, 0.1, RATE * 3))
    crops = FolderCrops(mixed_folder)
    batches = [crops.batch(np.random.default_rng([3, step]), 4, 7680)[0] for step in range(6)]
    again = FolderCrops(mixed_folder).batch(np.random.default_rng([3, 5]), 4, 7680)[0]
    assert np.array_equal(batches[5], again)
    assert not np.array_equal(batches[4], batches[5])


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recordings"):
        plain(tmp_path)
    (tmp_path / "words.wav").write_text("this is no sound")
    with pytest.raises(ValueError, match=r"none of 1 recordings can be used, for example .*words\.wav"):
        plain(tmp_path)


def test_a_folder_that_breaks_later_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", tone(1.0))
    crops = plain(tmp_path)
    path.write_text("gone")
    with pytest.raises(ValueError, match="in a row could not be read"):
        crops.draw(np.random.default_rng(0), 9600)


def test_samples_that_are_no_numbers_are_found(tmp_path):
    path = write(tmp_path / "a.wav", np.full(RATE, np.nan, np.float32), subtype="FLOAT")
    with pytest.raises(UnreadableRecordingError, match="NaN"):
        read_stretch(path, 0, 100)


def test_a_short_file_ends_in_silence_and_long_ones_come_more_often(tmp_path):
    write(tmp_path / "long.wav", tone(9.0, 880))
    write(tmp_path / "short.wav", tone(1.0, 440))
    crops = plain(tmp_path)
    assert crops.seconds == pytest.approx(10)
    wavs = [crops.draw(np.random.default_rng(seed), 2 * RATE) for seed in range(60)]
    short = [wav for wav in wavs if pitch_of(wav) < 600]
    assert 1 <= len(short) <= 15
    assert all(np.abs(wav[RATE:]).max() == 0 and np.abs(wav[:RATE]).max() > 0.2 for wav in short)


def test_only_the_crop_is_read(tmp_path, monkeypatch):
    write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 60 * RATE))
    read, counts = soundfile.SoundFile.read, []

    def counting(self, frames=-1, **settings):
        counts.append(frames)
        return read(self, frames, **settings)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    plain(tmp_path).draw(np.random.default_rng(0), 9600)
    assert counts == [9600]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "g722"])
def test_a_stretch_is_what_the_whole_file_has_there(tmp_path, suffix):
    if suffix == "g722":
        pytest.importorskip("av", reason="G.722 needs the extra 'train'")
        path = tmp_path / "a.g722"
        path.write_bytes(np.random.default_rng(0).integers(0, 256, 24_000, np.uint8).tobytes())
    else:
        path = write(tmp_path / f"a.{suffix}", tone(3.0, 500))
    whole, rate = recordings._whole(path)
    for start in (0, 7000, 31_001):
        assert read_stretch(path, start, 4000) == pytest.approx(whole[start : start + 4000], abs=1e-4)
    with pytest.raises(UnreadableRecordingError, match="cut off: 10 of 20 samples"):
        read_stretch(path, len(whole) - 10, 20)


def test_recordings_kept_for_tests_are_left_out(tmp_path):
    write(tmp_path / "en_US_f_Allison" / "hello.wav", tone(1.0))
    write(tmp_path / "mine.wav", tone(1.0, 880))
    assert [path.name for path in plain(tmp_path).skipped] == ["hello.wav"]
    assert not plain(tmp_path, exclude=lambda path: False).skipped


def test_augmentation_changes_the_crop_and_no_phones_are_promised(tmp_path):
    write(tmp_path / "a.wav", tone(3.0))
    always = FolderCrops(tmp_path, augment=Augmentation(rate_share=1, level_share=1, noise_share=1, room_share=1))
    first, second = (always.draw(np.random.default_rng(seed), 9600) for seed in (1, 2))
    assert first.shape == second.shape == (9600,)
    assert pitch_of(first) != pytest.approx(pitch_of(second), abs=2)
    with pytest.raises(ValueError, match="phones of these recordings are unknown"):
        always.batch(np.random.default_rng(0), 1, 9600, spoken=True)


def test_g722_is_read(tmp_path):
    av = pytest.importorskip("av", reason="G.722 needs the extra 'train'")
    with av.open(str(tmp_path / "a.g722"), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone(2.0, 500, 16_000) * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert len(read_recording(tmp_path / "a.g722")) == pytest.approx(2 * RATE, abs=400)
    crops = plain(tmp_path, resample=True)
    assert crops.seconds == pytest.approx(2, abs=0.02)
    assert pitch_of(crops.draw(np.random.default_rng(0), 9600)) == pytest.approx(500, abs=3)


def test_suffixes_are_those_of_the_docstring():
    assert all(suffix[1:].upper().replace("G722", "G.722") in recordings.__doc__ for suffix in recordings.SUFFIXES)
