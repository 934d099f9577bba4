"""Recordings on disk: reading one, and random crops of a whole tree of them, as for training on real speech.

WAV, FLAC, OGG and MP3 are read from any place on, so that a crop of an hour costs no more than one of a minute;
G.722 is decoded whole.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from ..config import SAMPLE_RATE
from .augment import Augmentation
from .cast import is_reserved

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".g722")
Channels = Literal["mix", "left", "right", "refuse"]
FRAME_SIZE = 1920
UNKNOWN = -100  # the phone of a frame about which nothing is known
_G722_RATE = 16_000
_G722_BYTES = 8_000  # a second
_RUN_UP = {".mp3": 16_384}  # samples an MP3 is played before a place until it sounds there as it would from its start
_TRIES = 50  # drawings until no readable file is believed to be there

_log = logging.getLogger(__name__)


class UnreadableRecordingError(ValueError):
    """A file that is no sound, is cut off, or holds numbers that are no samples."""


def find_recordings(folder: str | Path) -> list[Path]:
    """Every recording in `folder` and below, sorted; FileNotFoundError if there is none."""
    found = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise FileNotFoundError(f"{folder}: no recordings ({', '.join(SUFFIXES)}) in this folder or below")
    return found


def read_recording(path: Path) -> np.ndarray:
    """A mono recording as float32 [S] at 24 kHz, whatever its own rate; G.722 files need the package av."""
    wav, rate = _whole(path)
    if wav.ndim != 1:
        raise ValueError(f"{path}: {wav.shape[1]} channels, expected a mono recording")
    return wav if rate == SAMPLE_RATE else soxr.resample(wav, rate, SAMPLE_RATE)


def _whole(path: Path) -> tuple[np.ndarray, int]:
    if path.suffix.lower() == ".g722":
        return _decode_g722(path), _G722_RATE
    return soundfile.read(path, dtype="float32")


@functools.lru_cache(maxsize=64)
def _decode_g722(path: Path) -> np.ndarray:
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f"{path}: reading G.722 needs the package av: pip install 'minimoshi[train]'"
        ) from error
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate([np.zeros(0), *frames]).astype(np.float32) / 32768


def _look(path: Path) -> tuple[int, int, int]:
    """(samples, rate, channels) by the file's header; UnreadableRecordingError if it has none."""
    if path.suffix.lower() == ".g722":
        return path.stat().st_size * _G722_RATE // _G722_BYTES, _G722_RATE, 1
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise UnreadableRecordingError(error.error_string) from error
    return info.frames, info.samplerate, info.channels


def read_stretch(path: Path, start: int, samples: int) -> np.ndarray:
    """`samples` of a recording from sample `start` on, at its own rate: float32 [S] or [S, channels].

    UnreadableRecordingError if the file does not hold them, or holds NaN or infinity there.
    """
    try:
        if path.suffix.lower() == ".g722":
            wav = _decode_g722(path)[start : start + samples]
        else:
            run_up = min(start, _RUN_UP.get(path.suffix.lower(), 0))
            with soundfile.SoundFile(path) as file:
                file.seek(start - run_up)
                wav = file.read(samples + run_up, dtype="float32")[run_up:]
    except soundfile.LibsndfileError as error:
        raise UnreadableRecordingError(error.error_string) from error
    if len(wav) != samples:
        raise UnreadableRecordingError(f"cut off: {len(wav)} of {samples} samples from {start} on")
    if not np.isfinite(wav).all():
        raise UnreadableRecordingError("NaN or infinite samples")
    return wav


class FolderCrops:
    """Random crops of all recordings in a folder and below, whatever their length.

    resample: take files of other rates than 24 kHz and resample them; without it they are an error. channels: what
    becomes of stereo: "mix" (mean of both), "left", "right", or "refuse", an error. shortest: seconds below which a
    file is skipped. augment: the changes of sound that training makes (True: those of `Augmentation()`). exclude:
    recordings to leave out; those that this project keeps for tests, unless told otherwise.

    Files that cannot be read, are cut off or too short are reported by name in the log and kept in `skipped`
    (path -> reason). Raises ValueError if nothing else is left, FileNotFoundError for a folder without recordings.

    The probability of a file is proportional to its length. A crop longer than its file ends in silence. What is
    drawn depends on `rng` and the folder alone.
    """

    def __init__(
        self,
        folder: str | Path,
        resample: bool = False,
        channels: Channels = "refuse",
        shortest: float = 0.5,
        augment: bool | Augmentation = True,
        exclude: Callable[[Path], bool] = is_reserved,
    ):
        if channels not in ("mix", "left", "right", "refuse"):
            raise ValueError(f"channels={channels!r}: expected 'mix', 'left', 'right' or 'refuse'")
        self._channels = channels
        self._augmentation = Augmentation() if augment is True else augment or None
        self.skipped: dict[Path, str] = {}
        self._files: list[tuple[Path, int, int]] = []  # samples and rate of each
        for path in find_recordings(folder):
            if exclude(path):
                self._skip(path, "kept for tests")
                continue
            try:
                samples, rate, count = _look(path)
            except UnreadableRecordingError as error:
                self._skip(path, str(error))
                continue
            if samples / rate < shortest:
                self._skip(path, f"{samples / rate:.2f} s, shorter than {shortest} s")
                continue
            if rate != SAMPLE_RATE and not resample:
                raise ValueError(f"{path}: {rate} Hz, expected {SAMPLE_RATE}; resample=True changes the rate")
            if count > 2 or count == 2 and channels == "refuse":
                hint = "; choose channels='mix', 'left' or 'right'" if count == 2 else ""
                raise ValueError(f"{path}: {count} channels, expected a mono recording{hint}")
            self._files.append((path, samples, rate))
        if self.skipped:
            _log.warning("%s: %d recordings taken, %d skipped", folder, len(self._files), len(self.skipped))
        if not self._files:
            raise ValueError(f"{folder}: none of {len(self.skipped)} recordings can be used, {self._example()}")
        self._ends = np.cumsum([samples / rate for _, samples, rate in self._files])

    @property
    def seconds(self) -> float:
        """How much sound there is."""
        return float(self._ends[-1])

    def draw(self, rng: np.random.Generator, samples: int) -> np.ndarray:
        """One crop at 24 kHz, float32 [S]."""
        for _ in range(_TRIES):
            path, length, rate = self._files[np.searchsorted(self._ends, rng.random() * self._ends[-1], side="right")]
            faster = self._augmentation.draw_rate(rng) if self._augmentation else 1.0
            ratio = rate * faster / SAMPLE_RATE
            wanted = math.ceil(samples * ratio)
            start = int(rng.integers(max(0, length - wanted) + 1))
            try:
                wav = self._mono(read_stretch(path, start, min(wanted, length)))
            except UnreadableRecordingError as error:
                self._skip(path, str(error))  # drawn again, so that what is drawn depends on rng alone
                continue
            if ratio != 1.0:
                wav = soxr.resample(wav, rate * faster, SAMPLE_RATE)
            wav = np.pad(wav, (0, max(0, samples - len(wav))))[:samples]
            return self._augmentation.change(rng, wav) if self._augmentation else wav
        raise ValueError(f"{_TRIES} crops in a row could not be read, {self._example()}")

    def batch(
        self, rng: np.random.Generator, size: int, samples: int, spoken: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """`size` crops as those of `SpeechCrops`: sound float32 [B, 1, S], phones int64 [B, F], all unknown (-100)."""
        if spoken:
            raise ValueError("the phones of these recordings are unknown: draw spoken crops from a SpeechCrops")
        wav = np.stack([self.draw(rng, samples) for _ in range(size)])
        return wav[:, None], np.full((size, samples // FRAME_SIZE), UNKNOWN)

    def _mono(self, wav: np.ndarray) -> np.ndarray:
        if wav.ndim == 1:
            return wav
        return wav.mean(1) if self._channels == "mix" else wav[:, ("left", "right").index(self._channels)]

    def _skip(self, path: Path, reason: str) -> None:
        if path not in self.skipped:
            self.skipped[path] = reason
            _log.warning("%s: skipped: %s", path, reason)

    def _example(self) -> str:
        path, reason = next(iter(self.skipped.items()))
        return f"for example {path}: {reason}"
