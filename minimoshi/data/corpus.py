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
import soxr
from tqdm import tqdm

from .augment import Augmentation
from .cast import is_reserved, refuse_held_out_voice
from .recordings import UNKNOWN, find_recordings, read_recording
from .sentences import sentences
from .voices import PHONES, SAMPLE_RATE, SILENCE, Span, Speech, open_voice

LOUDNESS = 0.07  # root mean square of every clip
_MARGIN = 0.1  # seconds kept around the speech when silence is trimmed
_SHORTEST = 0.5  # seconds


class NoSpeechError(ValueError):
    """A clip that is silent or shorter than half a second."""


@dataclass(frozen=True)
class Part:
    """One kind of speaker in the corpus.

    voice: a name for `open_voice`; `"hibari:crowd"`, a new random speaker for every sentence; `"hibari:phrases"`,
    Moshi's answers as it gives them, phrase by phrase; or `"folder:PATH"`, the recordings below PATH. minutes: how
    much to make (a folder may hold less). everyday: share of everyday English, the rest being sentences of the
    mini-world.
    """

    name: str
    voice: str
    minutes: float
    everyday: float = 0.6


def is_held_out(text: str) -> bool:
    """Whether a sentence is kept for testing: a twentieth of those of four words or more, by a hash."""
    return len(text.split()) >= 4 and hashlib.blake2b(text.encode(), digest_size=2).digest()[0] % 20 == 0


# ------------------------------------------------------------------------------------------------- one clip


def trim(speech: Speech) -> Speech:
    """Take the silence on both sides away, but for a tenth of a second."""
    wav = speech.wav
    loud = np.flatnonzero(np.abs(wav) > 0.01 * np.abs(wav).max(initial=0.0))
    margin = int(_MARGIN * SAMPLE_RATE)
    start, end = (max(0, loud[0] - margin), min(len(wav), loud[-1] + margin)) if len(loud) else (0, 0)
    cut = float(start / SAMPLE_RATE)
    words, phones = (_moved([s for s in spans if s.end > cut], -cut) for spans in (speech.words, speech.phones))
    return Speech(wav[start:end], words, phones)


def _moved(spans: list[Span], seconds: float) -> list[Span]:
    return [replace(s, start=s.start + seconds, end=s.end + seconds) for s in spans]


def prepare(speech: Speech) -> Speech:
    """Trim the silence on both sides, bring the loudness to `LOUDNESS`. NoSpeechError if nothing is left."""
    speech = trim(speech)
    seconds = len(speech.wav) / SAMPLE_RATE
    if seconds < _SHORTEST:
        raise NoSpeechError(f"{seconds:.2f} s of sound: expected at least {_SHORTEST} s of speech")
    wav = speech.wav * (LOUDNESS / np.sqrt(np.mean(np.square(speech.wav, dtype=np.float64))))
    return replace(speech, wav=np.clip(wav, -0.99, 0.99).astype(np.float32))


def low_pass(wav: np.ndarray) -> np.ndarray:
    """Take away what lies above 8 kHz, as in a 16 kHz recording."""
    narrow = soxr.resample(soxr.resample(wav, SAMPLE_RATE, 16_000), 16_000, SAMPLE_RATE)
    return np.pad(narrow, (0, max(0, len(wav) - len(narrow))))[: len(wav)]


# ------------------------------------------------------------------------------------------------- one part


def log_uniform(rng: random.Random, least: float, most: float) -> float:
    """A factor, as likely below the geometric mean of both as above: twice as slow is as far as twice as fast."""
    return math.exp(rng.uniform(math.log(least), math.log(most)))


def random_speaker(rng: random.Random, lowest: float = 0.5, highest: float = 1.5) -> str:
    """Settings of a hibari voice for a speaker nobody has heard: deep voices get the longer vocal tracts.

    lowest, highest: pitch relative to hibari's own.
    """
    f0 = log_uniform(rng, lowest, highest)
    formant = min(1.2, max(0.84, f0**0.22 * rng.uniform(0.94, 1.06)))
    lively, speed = rng.uniform(0.7, 1.4), rng.uniform(0.85, 1.15)
    return f"hibari:f0={f0:.3f},formant={formant:.3f},f0_range={lively:.2f},speed={speed:.2f}"


def _speak(part: Part, seed: int, index: int, held_out: bool) -> tuple[dict, Speech]:
    """Clip `index` of a synthetic part: its row in the index file, and its sound."""
    rng = random.Random(f"{seed}/{part.name}/{index}")
    if part.voice == "hibari:phrases":
        return _answer(rng, held_out)
    text = next(t for t in sentences(rng.random(), part.everyday) if is_held_out(t) == held_out)
    spec = part.voice
    if spec == "hibari:crowd":
        spec = random_speaker(rng)
    elif spec == "hibari":
        spec = f"hibari:speed={rng.choice((0.9, 1.0, 1.0, 1.1))}"
    speech = open_voice(spec)(text)
    if spec.startswith("hibari") and rng.random() < 1 / 3:  # no voice may be known by its bandwidth alone
        speech = replace(speech, wav=low_pass(speech.wav))
    return {"text": text, "voice": spec}, speech


def _answer(rng: random.Random, held_out: bool) -> tuple[dict, Speech]:
    """An answer of the mini-world put together from phrases said alone, up to a quarter of a second apart."""
    from .miniworld.skills import SPLITS, moshi_says, phrases  # whose package imports this module

    answers = [text for _, text in moshi_says(SPLITS) if is_held_out(text) == held_out]
    text, pause = rng.choice(answers), rng.uniform(0.0, 0.25)
    voice, wavs, words, phones, length = open_voice("hibari"), [], [], [], 0
    for phrase in phrases(text):
        said = trim(voice(phrase))
        words += _moved(said.words, length / SAMPLE_RATE)
        phones += _moved(said.phones, length / SAMPLE_RATE)
        wavs += [said.wav, np.zeros(round(pause * SAMPLE_RATE), np.float32)]
        length += len(wavs[-2]) + len(wavs[-1])
    return {"text": text, "voice": "hibari"}, Speech(np.concatenate(wavs), words, phones)


def _recordings(folder: str, seed: int, held_out: bool, exclude: Collection[str]) -> list[Path]:
    taken = [
        path
        for path in find_recordings(folder)
        if path.stem not in exclude and (held_out or not is_reserved(path))
    ]
    if not taken:
        raise FileNotFoundError(f"{folder}: all recordings are excluded or kept for tests (minimoshi.data.cast)")
    random.Random(seed).shuffle(taken)
    return taken


def _clips(
    part: Part, first: int, seed: int, held_out: bool, exclude: Collection[str]
) -> Iterator[tuple[int, dict, Speech]]:
    """Prepared clips from number `first` on: (number, row, speech), without those that hold no speech."""
    recordings = None
    if part.voice.startswith("folder:"):
        recordings = _recordings(part.voice.removeprefix("folder:"), seed, held_out, exclude)
    elif not held_out:
        refuse_held_out_voice(part.voice)
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

    held_out: for tests: speak only sentences that training never hears, and let the voices and recordings speak
    that are kept for tests (`cast.py`), which otherwise raise ValueError or are left out. exclude: names (without
    suffix) of further recordings to leave out.
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
    """Random crops of a corpus, with the small changes of sound that a user's room and microphone make.

    weights: how often each part is drawn. steady: parts that are left as they are (Moshi's own voice). augment:
    what happens to the crops of the other parts (True: `Augmentation()`, False: nothing). Crops of all parts may
    begin before a clip or end after it, in silence.
    """

    def __init__(
        self,
        folder: str | Path,
        weights: dict[str, float],
        steady: Collection[str] = (),
        augment: bool | Augmentation = True,
    ):
        folder = Path(folder)
        missing = [name for name in weights if not (folder / f"{name}.jsonl").exists()]
        if missing:
            raise FileNotFoundError(f"{folder}: no part called {', '.join(missing)}; make it with build_part")
        self._weights, self._steady = weights, set(steady)
        self._augmentation = Augmentation() if augment is True else augment or None
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
        augmentation = None if name in self._steady else self._augmentation
        rate = augmentation.draw_rate(rng) if augmentation else 1.0
        wanted = math.ceil(samples * rate)
        slack = SAMPLE_RATE // 2
        start = int(rng.integers(-slack, max(1, row["samples"] - wanted + slack)))
        wav = self._read(name, row, start, wanted)
        if rate != 1.0:
            wav = soxr.resample(wav, SAMPLE_RATE * rate, SAMPLE_RATE, quality="MQ")
        wav = np.pad(wav, (0, max(0, samples - len(wav))))[:samples]
        if augmentation:
            wav = augmentation.change(rng, wav)
        frames = samples // frame_size
        return Crop(wav, frame_labels(row["phones"], start / SAMPLE_RATE, rate, frames, frame_size))

    def batch(
        self, rng: np.random.Generator, size: int, samples: int, spoken: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """`size` crops: sound float32 [B, 1, S] and phones int64 [B, F].

        From an equal `rng` come the same stretches of the same clips whatever else is done to them.
        """
        crops = [self.draw(own, samples, spoken=spoken) for own in rng.spawn(size)]
        return np.stack([c.wav for c in crops])[:, None], np.stack([c.phones for c in crops])

    def _read(self, name: str, row: dict, start: int, samples: int) -> np.ndarray:
        """`samples` of a clip from `start` on, with silence where the clip is not."""
        wav = np.zeros(samples, np.float32)
        low, high = max(0, start), min(row["samples"], start + samples)
        if high > low:
            stored = self._sound[name][row["offset"] + low : row["offset"] + high]
            wav[low - start : high - start] = stored / np.float32(32768)
        return wav


def frame_labels(phones: list, start: float, rate: float, frames: int, frame_size: int = 1920) -> np.ndarray:
    """The phone that fills most of each frame, int64 [F]; silence outside the clip, -100 without phones.

    phones: (label, start, end) in seconds of the clip; start: where the first frame begins in it; rate: how
    many seconds of the clip pass in one second of frames.
    """
    if not phones:
        return np.full(frames, UNKNOWN)
    cells = 16  # a frame is looked at in steps of 5 ms
    fine = np.full(frames * cells, PHONES.index(SILENCE))
    per_second = cells * SAMPLE_RATE / frame_size / rate
    for label, begin, end in phones:
        low, high = (max(0, round((t - start) * per_second)) for t in (begin, end))
        fine[low:high] = PHONES.index(label)
    counts = [np.bincount(frame, minlength=len(PHONES)) for frame in fine.reshape(frames, cells)]
    return np.stack(counts).argmax(1)
