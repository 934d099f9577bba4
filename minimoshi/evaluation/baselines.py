"""Two codecs from the telephone's world, to hear the tiny codec beside: Codec 2 and Opus, as Debian packages them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..config import SAMPLE_RATE

CODEC2_BITS, OPUS_BITS = 1200, 6000  # a second
_CODEC2_RATE, _CODEC2_FRAME = 8000, 320  # samples
_CODEC2_DELAY = 160  # samples; with this shift the STOI of five clips of four voices was largest
PROGRAMS = {"c2enc": "codec2", "c2dec": "codec2", "opusenc": "opus-tools", "opusdec": "opus-tools"}


def check_programs() -> None:
    """ImportError that names the Debian packages of the programs that are missing."""
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise ImportError(
            f"the card compares with Codec 2 and Opus, whose programs are missing; install them with: "
            f"sudo apt-get install {' '.join(missing)}, or leave them out with --no-baselines"
        )


def codec2(wav: np.ndarray) -> np.ndarray:
    """float [S] at 24 kHz -> [S]: through Codec 2 at 1200 bit/s, which knows 8 kHz only."""
    narrow = soxr.resample(wav, SAMPLE_RATE, _CODEC2_RATE)
    narrow = np.pad(narrow, (0, _CODEC2_DELAY + -(len(narrow) + _CODEC2_DELAY) % _CODEC2_FRAME))
    pcm = (np.clip(narrow, -1, 1) * 32767).astype("<i2").tobytes()
    bits = _run(["c2enc", str(CODEC2_BITS), "-", "-"], pcm)
    heard = np.frombuffer(_run(["c2dec", str(CODEC2_BITS), "-", "-"], bits), "<i2") / np.float32(32768)
    return _fit(soxr.resample(heard[_CODEC2_DELAY:], _CODEC2_RATE, SAMPLE_RATE), len(wav))


def opus(wav: np.ndarray) -> np.ndarray:
    """float [S] at 24 kHz -> [S]: through Opus at a constant 6 kbit/s, in its thriftiest packets of 60 ms."""
    with tempfile.TemporaryDirectory() as folder:
        source, packets, heard = (str(Path(folder) / name) for name in ("in.wav", "x.opus", "out.wav"))
        soundfile.write(source, np.clip(wav, -1, 1), SAMPLE_RATE, subtype="PCM_16")
        rate = ["--bitrate", str(OPUS_BITS / 1000), "--hard-cbr", "--framesize", "60"]
        _run(["opusenc", "--quiet", *rate, source, packets])
        _run(["opusdec", "--quiet", "--rate", str(SAMPLE_RATE), packets, heard])
        return _fit(soundfile.read(heard, dtype="float32")[0], len(wav))


def _run(command: list[str], data: bytes | None = None) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def _fit(wav: np.ndarray, samples: int) -> np.ndarray:
    """Cut what the codec's last frame adds, or fill up what its delay takes."""
    return np.pad(wav, (0, max(0, samples - len(wav))))[:samples].astype(np.float32)
