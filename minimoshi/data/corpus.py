"""A corpus of speech on disk, made by voices and from folders of recordings, and random crops of it.

A corpus is a folder with two files per part (one part = one kind of speaker): `NAME.i16`, all clips one after
the other as 16-bit samples at 24 kHz, and `NAME.jsonl`, one line per clip with its place, text and phone
times. Clip `i` of a part depends on the seed, the part's name and `i` only, so a build that was interrupted
goes on where it stopped and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from .sentences import sentences
from .voices import PHONES, SAMPLE_RATE, SILENCE, Span, Speech, open_voice

LOUDNESS = 0.07  # root mean square of every clip
_MARGIN = 0.1  # seconds kept around the speech when silence is trimmed
_SHORTEST = 0.5  # seconds
_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".g722")


class NoSpeechError(ValueError):
    """A clip that is silent or shorter than half a second."""


@dataclass(frozen=True)
class Part:
    """One kind of speaker in the corpus.

    voice: a name for `open_voice`; `"hibari:crowd"`, a new random speaker for every sentence; or
    `"folder:PATH"`, the recordings below PATH. minutes: how much to make (a folder may hold less). everyday:
    share of everyday English, the rest being sentences of the mini-world.
    """

    name: str
    voice: str
    minutes: float
    everyday: float = 0.6


def is_held_out(text: str) -> bool:
    """Whether a sentence is kept for testing: a twentieth of those of four words or more, by a hash."""
    return len(text.split()) >= 4 and hashlib.blake2b(text.encode(), digest_size=2).digest()[0] % 20 == 0


# ------------------------------------------------------------------------------------------------- one clip


def prepare(speech: Speech) -> Speech:
    """Trim the silence on both sides, bring the loudness to `LOUDNESS`. NoSpeechError if nothing is left."""
    wav = speech.wav
    loud = np.flatnonzero(np.abs(wav) > 0.01 * np.abs(wav).max(initial=0.0))
    margin = int(_MARGIN * SAMPLE_RATE)
    start, end = (max(0, loud[0] - margin), min(len(wav), loud[-1] + margin)) if len(loud) else (0, 0)
    if end - start < _SHORTEST * SAMPLE_RATE:
        raise NoSpeechError(
            f"{(end - start) / SAMPLE_RATE:.2f} s of sound: expected at least {_SHORTEST} s of speech"
        )
    wav = wav[start:end]
    wav = wav * (LOUDNESS / np.sqrt(np.mean(np.square(wav, dtype=np.float64))))
    shift = float(start / SAMPLE_RATE)

    def moved(spans: list[Span]) -> list[Span]:
        return [replace(s, start=s.start - shift, end=s.end - shift) for s in spans if s.end > shift]

    return Speech(np.clip(wav, -0.99, 0.99).astype(np.float32), moved(speech.words), moved(speech.phones))


def low_pass(wav: np.ndarray) -> np.ndarray:
    """Take away what lies above 8 kHz, as in a 16 kHz recording."""
    narrow = soxr.resample(soxr.resample(wav, SAMPLE_RATE, 16_000), 16_000, SAMPLE_RATE)
    return np.pad(narrow, (0, max(0, len(wav) - len(narrow))))[: len(wav)]


def read_recording(path: Path) -> np.ndarray:
    """A mono recording as float32 [S] at 24 kHz, whatever its own rate; G.722 files need the package av."""
    if path.suffix == ".g722":
        try:
            import av
        except ImportError as error:
            raise ImportError(
                f"{path}: reading G.722 needs the package av: pip install 'minimoshi[train]'"
            ) from error
        with av.open(str(path), format="g722") as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        wav, rate = np.concatenate([np.zeros(0), *frames]).astype(np.float32) / 32768, 16_000
    else:
        wav, rate = soundfile.read(path, dtype="float32")
    if wav.ndim != 1:
        raise ValueError(f"{path}: {wav.shape[1]} channels, expected a mono recording")
    return wav if rate == SAMPLE_RATE else soxr.resample(wav, rate, SAMPLE_RATE)


# ------------------------------------------------------------------------------------------------- one part


def _random_speaker(rng: random.Random) -> str:
    """Settings of a hibari voice for a speaker nobody has heard: deep voices get the longer vocal tracts."""
    f0 = math.exp(rng.uniform(math.log(0.5), math.log(1.5)))
    formant = min(1.2, max(0.84, f0**0.22 * rng.uniform(0.94, 1.06)))
    lively, speed = rng.uniform(0.7, 1.4), rng.uniform(0.85, 1.15)
    return f"hibari:f0={f0:.3f},formant={formant:.3f},f0_range={lively:.2f},speed={speed:.2f}"


def _speak(part: Part, seed: int, index: int, held_out: bool) -> tuple[dict, Speech]:
    """Clip `index` of a synthetic part: its row in the index file, and its sound."""
    rng = random.Random(f"{seed}/{part.name}/{index}")
    text = next(t for t in sentences(rng.random(), part.everyday) if is_held_out(t) == held_out)
    spec = part.voice
    if spec == "hibari:crowd":
        spec = _random_speaker(rng)
    elif spec == "hibari":
        spec = f"hibari:speed={rng.choice((0.9, 1.0, 1.0, 1.1))}"
    speech = open_voice(spec)(text)
    if spec.startswith("hibari") and rng.random() < 1 / 3:  # no voice may be known by its bandwidth alone
        speech = replace(speech, wav=low_pass(speech.wav))
    return {"text": text, "voice": spec}, speech


def _recordings(folder: str, seed: int, exclude: Collection[str]) -> list[Path]:
    found = sorted(p for p in Path(folder).rglob("*") if p.suffix in _SUFFIXES and p.stem not in exclude)
    if not found:
        raise FileNotFoundError(f"{folder}: no recordings ({', '.join(_SUFFIXES)}) in this folder or below")
    random.Random(seed).shuffle(found)
    return found


def _clips(
    part: Part, first: int, seed: int, held_out: bool, exclude: Collection[str]
) -> Iterator[tuple[int, dict, Speech]]:
    """Prepared clips from number `first` on: (number, row, speech), without those that hold no speech."""
    recordings = None
    if part.voice.startswith("folder:"):
        recordings = _recordings(part.voice.removeprefix("folder:"), seed, exclude)
    for index in itertools.count(first):
        if recordings is None:
            row, speech = _speak(part, seed, index, held_out)
        elif index < len(recordings):
            path = recordings[index]
            row, speech = {"text": "", "voice": path.stem}, Speech(read_recording(path))
        else:
            return
        try:
            yield index, row, prepare(speech)
        except NoSpeechError:
            continue


def build_part(
    folder: str | Path, part: Part, seed: int = 0, held_out: bool = False, exclude: Collection[str] = ()
) -> list[dict]:
    """Make one part of a corpus, or what is missing of it; returns the rows of its index.

    held_out: speak only sentences that training never hears. exclude: names (without suffix) of recordings to
    leave out.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    index_file, sound_file = folder / f"{part.name}.jsonl", folder / f"{part.name}.i16"
    rows = [json.loads(line) for line in index_file.read_text().splitlines()] if index_file.exists() else []
    samples = sum(row["samples"] for row in rows)
    goal = round(part.minutes * 60 * SAMPLE_RATE)
    clips = _clips(part, rows[-1]["index"] + 1 if rows else 0, seed, held_out, exclude)
    sound_file.touch()
    with open(sound_file, "r+b") as sound, open(index_file, "a") as lines:
        sound.truncate(2 * samples)  # a clip whose row was never written is made again
        sound.seek(0, 2)
        bar = tqdm(total=goal // SAMPLE_RATE, initial=samples // SAMPLE_RATE, desc=part.name, unit="s")
        while samples < goal and (clip := next(clips, None)):
            index, row, speech = clip
            phones = [[s.label, round(s.start, 3), round(s.end, 3)] for s in speech.phones]
            row |= {"index": index, "offset": samples, "samples": len(speech.wav), "phones": phones}
            sound.write((speech.wav * 32767).astype("<i2").tobytes())
            sound.flush()
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            rows.append(row)
            samples += len(speech.wav)
            bar.update(len(speech.wav) // SAMPLE_RATE)
        bar.close()
    return rows


# -------------------------------------------------------------------------------------------------- crops


@dataclass(frozen=True)
class Crop:
    """A stretch of speech: `wav` float32 [S], and the phone of every frame int64 [F] (-100 where unknown)."""

    wav: np.ndarray
    phones: np.ndarray


class SpeechCrops:
    """Random crops of a corpus, with the small changes of sound that a user's microphone makes.

    weights: how often each part is drawn. steady: parts that are left as they are (Moshi's own voice). Of
    the other crops, half are played faster or slower, which makes another speaker of them, half get another
    loudness, a quarter some faint noise. Crops of all parts may begin before a clip or end after it, in
    silence.
    """

    def __init__(
        self,
        folder: str | Path,
        weights: dict[str, float],
        steady: Collection[str] = (),
        augment: bool = True,
    ):
        folder = Path(folder)
        missing = [name for name in weights if not (folder / f"{name}.jsonl").exists()]
        if missing:
            raise FileNotFoundError(f"{folder}: no part called {', '.join(missing)}; make it with build_part")
        self._weights, self._steady, self._augment = weights, set(steady), augment
        self._rows, self._sound, self._ends = {}, {}, {}
        for name in weights:
            lines = (folder / f"{name}.jsonl").read_text().splitlines()
            self._rows[name] = [json.loads(line) for line in lines]
            self._sound[name] = np.memmap(folder / f"{name}.i16", "<i2", "r")
            self._ends[name] = np.cumsum([row["samples"] for row in self._rows[name]])

    def draw(
        self, rng: np.random.Generator, samples: int, frame_size: int = 1920, spoken: bool = False
    ) -> Crop:
        """One crop of `samples`; `spoken`: only from parts whose phones are known."""
        names = [n for n in self._weights if not spoken or self._rows[n][0]["phones"]]
        weights = np.array([self._weights[n] for n in names])
        name = names[rng.choice(len(names), p=weights / weights.sum())]
        ends = self._ends[name]
        row = self._rows[name][np.searchsorted(ends, rng.integers(ends[-1]), side="right")]
        rate = 1.0
        augment = self._augment and name not in self._steady
        if augment and rng.random() < 0.5:
            rate = math.exp(rng.uniform(-0.18, 0.18))
        wanted = math.ceil(samples * rate)
        slack = SAMPLE_RATE // 2
        start = int(rng.integers(-slack, max(1, row["samples"] - wanted + slack)))
        wav = self._read(name, row, start, wanted)
        if rate != 1.0:
            wav = soxr.resample(wav, SAMPLE_RATE * rate, SAMPLE_RATE, quality="MQ")
        wav = np.pad(wav, (0, max(0, samples - len(wav))))[:samples]
        if augment:
            wav = _change(rng, wav)
        frames = samples // frame_size
        return Crop(wav, frame_labels(row["phones"], start / SAMPLE_RATE, rate, frames, frame_size))

    def batch(
        self, rng: np.random.Generator, size: int, samples: int, spoken: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """`size` crops: sound float32 [B, 1, S] and phones int64 [B, F]."""
        crops = [self.draw(rng, samples, spoken=spoken) for _ in range(size)]
        return np.stack([c.wav for c in crops])[:, None], np.stack([c.phones for c in crops])

    def _read(self, name: str, row: dict, start: int, samples: int) -> np.ndarray:
        """`samples` of a clip from `start` on, with silence where the clip is not."""
        wav = np.zeros(samples, np.float32)
        low, high = max(0, start), min(row["samples"], start + samples)
        if high > low:
            stored = self._sound[name][row["offset"] + low : row["offset"] + high]
            wav[low - start : high - start] = stored / np.float32(32768)
        return wav


def _change(rng: np.random.Generator, wav: np.ndarray) -> np.ndarray:
    if rng.random() < 0.5:
        wav = wav * np.float32(10 ** (rng.uniform(-9, 6) / 20))
    if rng.random() < 0.25:
        level = 10 ** rng.uniform(-4, -2.5)
        wav = wav + rng.standard_normal(len(wav), dtype=np.float32) * np.float32(level)
    return np.clip(wav, -0.99, 0.99, dtype=np.float32)


def frame_labels(phones: list, start: float, rate: float, frames: int, frame_size: int = 1920) -> np.ndarray:
    """The phone that fills most of each frame, int64 [F]; silence outside the clip, -100 without phones.

    phones: (label, start, end) in seconds of the clip; start: where the first frame begins in it; rate: how
    many seconds of the clip pass in one second of frames.
    """
    if not phones:
        return np.full(frames, -100)
    cells = 16  # a frame is looked at in steps of 5 ms
    fine = np.full(frames * cells, PHONES.index(SILENCE))
    per_second = cells * SAMPLE_RATE / frame_size / rate
    for label, begin, end in phones:
        low, high = (max(0, round((t - start) * per_second)) for t in (begin, end))
        fine[low:high] = PHONES.index(label)
    counts = [np.bincount(frame, minlength=len(PHONES)) for frame in fine.reshape(frames, cells)]
    return np.stack(counts).argmax(1)
