"""Takes as codes, encoded beforehand, each in its speaker's background; and Moshi as an echo in a user's microphone.

A bank's folder gets `NAME.codes.npy` for each speaker, further copies of users (`NAME.1.codes.npy`), tapes of noise
alone (`noise-N.codes.npy`), and what a microphone hears of Moshi (`moshi.echo-NOISE-LOUD.codes.npy`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...config import SAMPLE_RATE
from ...mimi import MimiAudioCodec
from ..augment import coloured, in_room, room_response
from .skills import MURMURS, STOPS

FRAME = 1920  # samples
MOSHI = "moshi"
NOISE_DB = (None, -70.0, -60.0, -50.0)  # of each kind of background, root mean square below full scale
TAPE_FRAMES = 750  # of noise, a minute
CONTEXT = 6  # frames of background before a take while it is encoded
_CALL = 25 * FRAME  # samples that are encoded at once
TAIL = 2  # frames of background that belong to a take, so that the codec can settle
BEFORE, AFTER = 0.03, 0.05  # seconds kept around the sound
# Moshi from a loudspeaker, as a user's microphone hears it: gains in dB, of a good echo canceller and of none (paper
# §4.4: up to a fifth of the amplitude). A model that has never heard itself there takes itself for the user.
ECHO_DB = ((-36.0, -24.0), (-24.0, -10.0))
ECHOES = [(noise, loud) for noise in range(len(NOISE_DB)) for loud in range(len(ECHO_DB))]
_LOUDSPEAKER_DB = 8.0  # how much it bends the spectrum, at most
# Of every take of a user: the same sound gives other codes where it lies otherwise on the frames. Moshi has one
# copy, which the model learns by heart: with a second one the loss of its sound doubled.
COPIES = 2


def read_index(index: Path) -> tuple[dict, list[dict], np.ndarray]:
    """Who a speaker is, a row for every take, and the sound of all."""
    facts, *rows = (json.loads(line) for line in index.read_text().splitlines())
    return facts, rows, np.memmap(index.with_suffix(".i16"), "<i2", "r")


def sound_of(sound: np.ndarray, row: dict) -> np.ndarray:
    """That of one take, int16 [S]."""
    return sound[row["offset"] : row["offset"] + row["samples"]]


def background(noise: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of a kind, float32 [S]: white and, an octave down, brown in equal parts; kind 0 is silence."""
    level = NOISE_DB[noise]
    if level is None:
        return np.zeros(samples, np.float32)
    white = rng.standard_normal(samples, dtype=np.float32)
    brown = np.convolve(white, np.full(32, 32**-0.5, np.float32), "same")
    mixed = white + brown
    return mixed * np.float32(10 ** (level / 20) / np.sqrt(np.mean(np.square(mixed))))


def frames_of(lead: int, samples: int) -> int:
    """Of a take: those that its sound touches, and the tail."""
    return -(-(lead + samples) // FRAME) + TAIL


def last_frame(lead: int, samples: int) -> int:
    """The frame of a take's last sound."""
    return int((lead + samples - AFTER * SAMPLE_RATE) // FRAME)


def with_background(sound: np.ndarray, lead: int, noise: int, rng: np.random.Generator) -> np.ndarray:
    """int16 [S] -> float32 of whole frames in its background, with CONTEXT frames before."""
    wav = background(noise, (CONTEXT + frames_of(lead, len(sound))) * FRAME, rng)
    start = CONTEXT * FRAME + lead
    wav[start : start + len(sound)] += sound.astype(np.float32) / 32767
    return wav


@torch.inference_mode()
def encode_bank(folder: str | Path, codec: MimiAudioCodec, progress: bool = True, copies: int = COPIES) -> None:
    """Give all takes codes, users `copies` times, and echoes, and make the tapes of noise; what is there stays."""
    folder, rng = Path(folder), np.random.default_rng(0)
    for noise in range(len(NOISE_DB)):
        if not (folder / f"noise-{noise}.codes.npy").exists():
            wav = background(noise, (TAPE_FRAMES + CONTEXT) * FRAME, rng)
            codes = codec.encode(torch.from_numpy(wav)[None, None])[0, :, CONTEXT:]
            np.save(folder / f"noise-{noise}.codes.npy", codes.numpy().astype(np.uint16))
    indices = sorted(folder.glob("*.jsonl"))
    work = [(index, copy) for copy in range(copies) for index in indices if copy == 0 or index.stem != MOSHI]
    for index, copy in tqdm(work, desc="encoding", disable=not progress):
        if not (coded := codes_of(index, copy)).exists():
            np.save(coded, _encode(index, codec, rng, copy))
    if (moshi := folder / f"{MOSHI}.jsonl").exists():
        _encode_echoes(indices, _Loudspeaker(moshi, codec, rng), copies, progress)


def codes_of(index: Path, copy: int) -> Path:
    """The file with a copy of a speaker's takes as codes."""
    return index.with_suffix(f".{copy}.codes.npy" if copy else ".codes.npy")


def echoes_of(index: Path, noise: int, loud: int, copy: int = 0) -> Path:
    """The file with a copy of takes under an echo of Moshi, in a kind of background and with one of ECHO_DB."""
    return codes_of(index.with_suffix(f".echo-{noise}-{loud}.jsonl"), copy)


def lead_of(row: dict, copy: int) -> int:
    """Samples of background before the first one, in a copy of a take: spread over the frame as evenly as may be."""
    return (row["lead"] + round(copy * 0.618 * FRAME)) % FRAME


def _encode(index: Path, codec: MimiAudioCodec, rng: np.random.Generator, copy: int = 0) -> np.ndarray:
    """All takes of a speaker one after the other, uint16 [Q, frames].

    They are encoded with the background of the speaker between them.
    """
    facts, rows, sound = read_index(index)

    def takes() -> Iterable[np.ndarray]:
        for row in rows:
            yield with_background(sound_of(sound, row), lead_of(row, copy), facts["noise"], rng)

    return _encode_in_a_row(takes(), codec)


class _Loudspeaker:
    """Moshi's takes as a loudspeaker plays them, after the codec: each time in another room and at another level."""

    def __init__(self, index: Path, codec: MimiAudioCodec, rng: np.random.Generator):
        self.index, self.rng, self.codec = index, rng, codec

    @cached_property
    def takes(self) -> list[np.ndarray]:
        lengths = [frames_of(row["lead"], row["samples"]) for row in read_index(self.index)[1]]
        codes = torch.from_numpy(np.load(codes_of(self.index, 0)).astype(np.int64))
        return [self.codec.decode(take[None])[0, 0].numpy() for take in codes.split(lengths, dim=1)]

    def echo(self, wav: np.ndarray, noise: int, loud: int) -> np.ndarray:
        """One of them in a kind of noise, CONTEXT before it, up to a frame later (a take ends with silent frames)."""
        heard, start = self._heard(wav, loud), CONTEXT * FRAME + int(self.rng.integers(FRAME))
        mixed = background(noise, CONTEXT * FRAME + len(wav), self.rng)
        mixed[start:] += heard[: len(mixed) - start]
        return mixed

    def beneath(self, wav: np.ndarray, loud: int) -> np.ndarray:
        """What somebody says, while some of them are played one after the other."""
        playing = [self.takes[self.rng.integers(len(self.takes))] for _ in range(1 + len(wav) // FRAME // TAIL)]
        start = int(self.rng.integers(len(playing[0])))
        return wav + self._heard(np.concatenate(playing)[start : start + len(wav)], loud)

    def _heard(self, wav: np.ndarray, loud: int) -> np.ndarray:
        rng = self.rng
        heard = coloured(wav, rng, rng.uniform(0, _LOUDSPEAKER_DB))
        if rng.random() < 0.5:
            heard = in_room(heard, room_response(rng, rng.uniform(0.1, 0.4), rng.uniform(-18, -6)))
        return np.float32(10 ** (rng.uniform(*ECHO_DB[loud]) / 20)) * heard


def _encode_echoes(indices: Iterable[Path], loudspeaker: _Loudspeaker, copies: int, progress: bool) -> None:
    """A file for each kind of echo: Moshi's takes alone, and users breaking in while it speaks, uint16 [Q, frames]."""
    work = [one for index in indices for one in _kinds_of_echo(index, copies) if not echoes_of(*one).exists()]
    for index, noise, loud, copy in tqdm(work, desc="echoes", disable=not progress):
        if index.stem == MOSHI:
            wavs = (loudspeaker.echo(wav, noise, loud) for wav in loudspeaker.takes)
        else:
            _, rows, sound = read_index(index)
            places = ((sound_of(sound, row), lead_of(row, copy)) for row in rows if breaks_in(row))
            said = (with_background(*place, noise, loudspeaker.rng) for place in places)
            wavs = (loudspeaker.beneath(wav, loud) for wav in said)
        np.save(echoes_of(index, noise, loud, copy), _encode_in_a_row(wavs, loudspeaker.codec))


def _kinds_of_echo(index: Path, copies: int) -> Iterable[tuple[Path, int, int, int]]:
    """Moshi once in every noise, for any user may hear it; a user's copies in their own."""
    if index.stem == MOSHI:
        return itertools.product([index], range(len(NOISE_DB)), range(len(ECHO_DB)), [0])
    return itertools.product([index], [read_index(index)[0]["noise"]], range(len(ECHO_DB)), range(copies))


def breaks_in(row: dict) -> bool:
    """Whether a take of a user is one with which they break in while Moshi speaks."""
    return row["text"] in (*STOPS, *MURMURS) and not row["manner"]


def _encode_in_a_row(wavs: Iterable[np.ndarray], codec: MimiAudioCodec) -> np.ndarray:
    """The codes of all, each without its CONTEXT, uint16 [Q, frames].

    They are encoded as one stream of two seconds a call, which keeps the work within a core's cache.
    """
    state, found, waiting, keep = codec.initial_state(), [], np.zeros(0, np.float32), []

    def encode(wav: np.ndarray) -> None:
        found.append(codec.encode(torch.from_numpy(wav)[None, None], state)[0].numpy().astype(np.uint16))

    for wav in wavs:
        waiting = np.concatenate([waiting, wav])
        keep += [False] * CONTEXT + [True] * (len(wav) // FRAME - CONTEXT)
        while len(waiting) >= _CALL:
            encode(waiting[:_CALL])
            waiting = waiting[_CALL:]
    if len(waiting):
        encode(waiting)
    return np.concatenate(found, axis=1)[:, keep] if found else np.zeros((codec.n_quantizers, 0), np.uint16)
