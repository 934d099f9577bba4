"""Sound files in and out: nothing is resampled, mixed down or cut unless asked for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from .config import SAMPLE_RATE


def check_mono(wav: Tensor) -> None:
    """ValueError unless `wav` is a recording to listen to: float [S], not empty, finite."""
    if not isinstance(wav, Tensor):
        raise ValueError(f"expected clean mono sound as a tensor, got {type(wav).__name__}: use torch.as_tensor(wav)")
    if wav.dim() != 1 or not wav.is_floating_point() or not len(wav):
        broken = ""
    elif torch.isfinite(wav).all():
        return
    else:
        broken = " with NaN or infinite samples"
    raise ValueError(
        f"expected clean mono sound, float [S] at {SAMPLE_RATE} Hz, got {wav.dtype} {list(wav.shape)}{broken}"
    )


def load_audio(
    path: str | os.PathLike, sample_rate: int = SAMPLE_RATE, *, resample: bool = False, mono: bool = False
) -> Tensor:
    """Read a sound file as float [channels, S] in -1..1.

    A file at another rate is an error unless `resample`; several channels are kept unless `mono` averages them.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a sound file in it")
    if not path.is_file():
        raise FileNotFoundError(f"there is no sound file {path}")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(
            f"{path} is not a sound file that can be read ({error}); WAV, FLAC, OGG and MP3 can"
        ) from error
    if not len(samples):
        raise ValueError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"{path} holds NaN or infinite samples")
    wav = samples.T
    if mono:
        wav = wav.mean(axis=0, keepdims=True)
    if rate != sample_rate:
        if not resample:
            raise ValueError(
                f"{path} is sampled at {rate} Hz, {sample_rate} Hz is needed; ask for resampling "
                "(--resample; in Python resample=True) or convert the file"
            )
        import librosa

        wav = librosa.resample(wav, orig_sr=rate, target_sr=sample_rate)
    return torch.from_numpy(np.ascontiguousarray(wav))


def save_audio(path: str | os.PathLike, wav: Tensor, sample_rate: int = SAMPLE_RATE, *, force: bool = False) -> None:
    """Write float [S] or [channels, S] as 16-bit sound; the ending of `path` chooses the format."""
    path = Path(path)
    check_sound_path(path, force)
    if wav.dim() not in (1, 2) or not wav.is_floating_point():
        raise ValueError(f"expected float sound of shape [S] or [channels, S], got {wav.dtype} {list(wav.shape)}")
    if not torch.isfinite(wav).all():
        raise ValueError("the sound holds NaN or infinite samples and was not written")
    try:
        soundfile.write(path, wav.detach().cpu().clamp(-1, 1).numpy().T, sample_rate, subtype="PCM_16")
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise ValueError(f"cannot write {path}: {error}; use an ending such as .wav or .flac") from error


def check_sound_path(path: str | os.PathLike, force: bool = False) -> None:
    """`check_writable`, and a ValueError when the ending of `path` names no sound format that can be written."""
    check_writable(path, force)
    ending = Path(path).suffix.lstrip(".").upper()
    if ending not in soundfile.available_formats() or not soundfile.check_format(ending, "PCM_16"):
        raise ValueError(
            f"cannot write {path}: its ending {Path(path).suffix!r} names no sound format; use .wav or .flac"
        )


def check_writable(path: str | os.PathLike, force: bool = False) -> None:
    """FileNotFoundError when the folder is missing, ValueError when the file exists and `force` is not given."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} for {path.name} does not exist; make it first")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if path.exists() and not force:
        raise ValueError(
            f"{path} exists and was kept; choose another name, or overwrite it with --force (in Python force=True)"
        )
