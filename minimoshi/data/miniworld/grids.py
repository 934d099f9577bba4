"""An episode as the grid of tokens that the generator learns from, made of its takes' codes in a millisecond."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...moshi.grid import ZERO_TOKEN, text_row
from ...text import TextTokenizer
from .coding import ECHO_DB, MOSHI, NOISE_DB
from .episodes import SECONDS, Episode, Placed
from .skills import vocabulary

_ECHO_LATE = (1, 6)  # frames until Moshi's sound comes back through the user's microphone (paper §4.4: 0.1 to 0.5 s)
_LEAD = (2, 15)  # frames before the first word of a transcriber's recording


@dataclass
class Grid:
    """codes int64 [1 + 2Q, T]: text, Moshi, user, aligned in time. heard int64 [T]: the user's word that ends in a
    frame, as 1 + its place in the vocabulary; 0 for none. speaking bool [T]: Moshi has a take there."""

    codes: Tensor
    heard: Tensor
    speaking: Tensor


class GridMaker:
    """Episode -> Grid: `maker(episode, rng)`.

    echo: in what share of the episodes the user's microphone hears Moshi. Where both speak, it hears the user, and
    both where the user breaks in.
    """

    def __init__(self, folder: str | Path, tokenizer: TextTokenizer, echo: float = 0.0):
        folder, self.echo = Path(folder), echo
        missing = [n for n in range(len(NOISE_DB)) if not (folder / f"noise-{n}.codes.npy").exists()]
        if missing:
            raise FileNotFoundError(f"{folder} has no codes of the background yet; run encode_bank first")
        self.tapes = [np.load(folder / f"noise-{n}.codes.npy") for n in range(len(NOISE_DB))]
        self.tokenizer = tokenizer
        self.words = {word: number for number, word in enumerate(vocabulary())}

    def __call__(self, episode: Episode, rng: random.Random) -> Grid:
        frames, q = episode.frames, len(self.tapes[0])
        codes = np.empty((1 + 2 * q, frames), np.int64)
        codes[1 : 1 + q] = self._tape(0, frames, rng)
        codes[1 + q :] = self._tape(episode.user.noise, frames, rng)
        speaking = np.zeros(frames, bool)
        echo = self._echo(codes[1 + q :], episode, rng) if rng.random() < self.echo else None
        for placed in episode.placed:
            own = placed.speaker == MOSHI
            _write(codes[1 : 1 + q] if own else codes[1 + q :], placed, echo)
            if own:
                speaking[placed.start : placed.stop] = True
        codes[0] = self._text(episode, MOSHI).numpy()
        return Grid(*map(torch.from_numpy, (codes, self._heard(episode), speaking)))

    def _echo(self, rows: np.ndarray, episode: Episode, rng: random.Random) -> tuple[int, int]:
        """Moshi's side as the user's microphone hears it, as loud and as late all through an episode; which echo."""
        late, kind = rng.randint(*_ECHO_LATE), (episode.user.noise, rng.randrange(len(ECHO_DB)))
        for placed in episode.of(MOSHI):
            at = placed.start + late
            for segment in placed.segments:
                if kind not in segment.take.echoes:
                    raise ValueError(
                        "Moshi's takes have no echoes yet; run encode_bank again (the stage 'codes' of "
                        "`minimoshi train moshi`), or train without them: user_echo=0"
                    )
                heard = segment.take.echoes[kind][:, segment.first : segment.stop]
                _put(rows, at, heard)
                at += heard.shape[1]
        return kind

    def of_one(self, speaker: str, episode: Episode, rng: random.Random) -> Grid:
        """What a transcriber learns from: "user" or "moshi" alone, codes int64 [1 + Q, T], their words beside their
        sound."""
        noise = 0 if speaker == MOSHI else episode.user.noise
        codes = torch.from_numpy(self._tape(noise, episode.frames, rng).astype(np.int64))
        for placed in episode.of(speaker):
            _write(codes.numpy(), placed)
        codes = torch.cat([self._text(episode, speaker)[None], codes])
        if starts := [placed.start for placed in episode.of(speaker)]:
            # recordings begin with their first word, whoever speaks, and not after a question that is not on them
            codes = codes.roll(-max(0, min(starts) - rng.randrange(*_LEAD)), dims=1)
        nothing = torch.zeros(episode.frames, dtype=torch.int64)
        return Grid(codes, nothing, nothing.bool())

    def _text(self, episode: Episode, speaker: str) -> Tensor:
        """The text row of one speaker's words, int64 [T]."""
        spoken = sorted((w.start, w.end, w.label) for placed in episode.of(speaker) for w in placed.words)
        words = ((label, (start, end)) for start, end, label in spoken)
        return text_row(words, self.tokenizer, episode.frames)

    def _tape(self, noise: int, frames: int, rng: random.Random) -> np.ndarray:
        tape = self.tapes[noise]
        start = rng.randrange(tape.shape[1])
        return np.take(tape, np.arange(start, start + frames), axis=1, mode="wrap")

    def _heard(self, episode: Episode) -> np.ndarray:
        row = np.zeros(episode.frames, np.int64)
        for placed in episode.of("user"):
            for word in placed.words:
                end = min(int(word.end / SECONDS), placed.last)
                if end < episode.frames:
                    row[end] = 1 + self.words[word.label]
        return row


def text_alone(grid: Grid) -> Grid:
    """The same conversation without its sound: what Moshi's text says when, and nothing else.

    This is how combinations that are never heard in training can still be known.
    """
    codes = torch.full_like(grid.codes, ZERO_TOKEN)
    codes[0] = grid.codes[0]
    return Grid(codes, torch.zeros_like(grid.heard), torch.zeros_like(grid.speaking))


def moshi_alone(grid: Grid) -> Grid:
    """The same conversation without the user: what Moshi says hangs on what it has said.

    It stands between `text_alone` and speech, so that what is known from one comes out in the other.
    """
    codes = grid.codes.clone()
    codes[1 + len(codes) // 2 :] = ZERO_TOKEN
    return Grid(codes, torch.zeros_like(grid.heard), grid.speaking)


def _write(rows: np.ndarray, placed: Placed, echo: tuple[int, int] | None = None) -> None:
    at = placed.start
    for segment in placed.segments:
        codes = segment.take.echoes.get(echo, segment.take.codes) if placed.breaks_in else segment.take.codes
        if codes is None:
            raise ValueError(f"the takes of {segment.take.speaker!r} have no codes yet; run encode_bank first")
        _put(rows, at, codes[:, segment.first : segment.stop])
        at += segment.stop - segment.first


def _put(rows: np.ndarray, at: int, codes: np.ndarray) -> None:
    """Codes from frame `at` on, as far as the grid goes."""
    end = min(at + codes.shape[1], rows.shape[1])
    if end > at:
        rows[:, at:end] = codes[:, : end - at]
