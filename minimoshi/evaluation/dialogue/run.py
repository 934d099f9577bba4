"""Let a model answer every user, running freely: nobody tells it what it should have said.

Time is that of a live `DialogueSession`: the sound of call t, made of what the user said up to the end of frame t, lies
in samples 1920·t to 1920·(t + 1) beside that frame. Whoever listens hears it one frame, 80 ms, later still.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ...config import EPAD_ID, PAD_ID, SAMPLE_RATE
from ...data.miniworld.episodes import SECONDS as FRAME_SECONDS
from ...data.miniworld.sound import Echo
from ...data.stereo import Word
from ...moshi import FullDuplexDialogueModel
from ...moshi.dialogue import timed_words
from ...moshi.grid import UNGENERATED, ZERO_TOKEN
from ...text import TextTokenizer
from ...text.tokenizer import MODEL
from ..memo import digest
from .cases import Case

_WARM_UP = 20  # frames of a session before its steps are timed
ECHO = Echo(gain_db=-20.0, delay=0.2)  # of the baseline "echo"
_TURN = 10  # frames that a word belongs to, for a model that hears nothing while it speaks


# What the model hears of every user in frame t, int64 [B, n_user], after the steps so far.
Hear = Callable[[int, list[Tensor]], Tensor]


@dataclass
class Answer:
    """What came from Moshi's side in one episode: float32 [S] at 24 kHz, and its own text as timed words."""

    moshi: np.ndarray
    words: list[Word]


def load_model(name_or_path: str) -> FullDuplexDialogueModel:
    """Any dialogue model whose text can be read, or a generator alone, to which the tiny codec is added."""
    model = FullDuplexDialogueModel.from_pretrained(name_or_path)
    if model.tokenizer is None:
        raise ValueError(f"{name_or_path} has no tokenizer, so its text cannot be read; put {MODEL} into its folder")
    return model


def fingerprint(model: FullDuplexDialogueModel) -> str:
    """Sixteen hexadecimal digits for all weights and sizes: with another window the same weights say something else."""
    found = hashlib.sha256(repr(model.config).encode())
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode() + tensor.detach().float().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


class Runner:
    """`runner(cases)` yields (case, Answer) for every case; what was generated once is kept in `cache`.

    sampling: options of `generator.stream`. seed: a case draws its tokens from `seed` and its name, so neither the
    batch nor the order matters. half_duplex: the model is made deaf while it speaks. echo: the user has a
    loudspeaker, and the microphone hears Moshi too, as loud and as late (by a frame or more).
    """

    def __init__(
        self,
        model: FullDuplexDialogueModel,
        cache: str | Path,
        *,
        seed: int = 0,
        batch_size: int = 16,
        progress: bool = True,
        half_duplex: bool = False,
        echo: Echo | None = None,
        **sampling: Any,
    ):
        self.model, self.seed, self.batch_size, self.progress = model, seed, batch_size, progress
        self.sampling, self.half_duplex, self.echo = sampling, half_duplex, echo
        self.key = fingerprint(model)
        options = json.dumps([self.key, seed, sorted(sampling.items())]) + ("/half-duplex" if half_duplex else "")
        options += "" if echo is None else f"/{echo}"
        self.folder = Path(cache) / "dialogues" / hashlib.sha256(options.encode()).hexdigest()[:16]

    def __call__(self, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
        self._generate(cases)
        for case in cases:
            codes = np.load(self._path(case)).astype(np.int64)
            yield case, self._answer(torch.from_numpy(codes))

    def _path(self, case: Case) -> Path:
        return self.folder / f"{case.name}-{digest(case.path.read_bytes().hex())[:8]}.npy"

    def _generate(self, cases: Sequence[Case]) -> None:
        """Codes of all cases that have none yet, in batches of nearly equal length."""
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [case for case in cases if not self._path(case).exists()]
        sounds = {case.name: case.path.stat().st_size for case in missing}
        missing.sort(key=lambda case: sounds[case.name])
        batches = [missing[i : i + self.batch_size] for i in range(0, len(missing), self.batch_size)]
        for batch in tqdm(batches, desc="conversations", unit="batch", disable=not (self.progress and missing)):
            users = [torch.from_numpy(case.stereo()[1]) for case in batch]
            for case, grid in zip(batch, self.converse(users, [case.name for case in batch]), strict=True):
                unfinished = self.folder / f"{os.getpid()}.unfinished.npy"
                np.save(unfinished, grid.numpy().astype(np.int16))
                os.replace(unfinished, self._path(case))

    @torch.inference_mode()
    def converse(self, users: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
        """Users [S] -> for each the text token and Moshi's codes of every frame, int64 [1 + dep_q, T].

        A shorter user goes on as silence; what Moshi says to that comes later and is cut off.
        """
        config, lengths = self.model.config, [-(-len(wav) // self.model.codec.frame_size) for wav in users]
        frames = max(lengths)
        hear = self._hear_at_once(users, frames) if self.echo is None else self._hear_with_echo(users, frames)
        seeds = [int(digest(f"{self.seed}/{name}"), 16) % 2**31 for name in names]
        stream = self.model.generator.stream(len(users), seed=seeds, **self.sampling)
        nothing = torch.full((len(users), 1 + config.dep_q), UNGENERATED)
        blind = torch.zeros(len(users), config.n_user, dtype=torch.int64)
        stream.step(blind)  # its first call cannot see its codes; see DialogueBatch
        spoken = torch.full((len(users),), -_TURN)  # the frame of every row's last word
        steps: list[Tensor] = []
        for t in range(frames):
            deaf = (self.half_duplex & (t - spoken < _TURN))[:, None]
            said = stream.step(hear(t, steps).masked_fill(deaf, ZERO_TOKEN))
            steps.append(nothing if said is None else said)
            spoken[~torch.isin(steps[-1][:, 0], torch.tensor([UNGENERATED, EPAD_ID, PAD_ID]))] = t
        out = torch.stack(steps, dim=2)
        return [row[:, :length] for row, length in zip(out, lengths, strict=True)]

    def _hear_at_once(self, users: Sequence[Tensor], frames: int) -> Hear:
        """Every user in one piece, which gives the same codes as frame by frame (the law of chunks)."""
        heard = [self.model.codec.encode(wav[None, None])[0, : self.model.config.n_user] for wav in users]
        grid = torch.stack([F.pad(codes, (0, frames - codes.shape[1])) for codes in heard])
        return lambda t, _: grid[:, :, t]

    def _hear_with_echo(self, users: Sequence[Tensor], frames: int) -> Hear:
        """Frame by frame, for what a microphone hears now depends on what Moshi has said."""
        codec, config = self.model.codec, self.model.config
        size, state = codec.frame_size, codec.initial_state(len(users))
        gain, late = 10 ** (self.echo.gain_db / 20), round(self.echo.delay * SAMPLE_RATE)
        user = torch.stack([F.pad(wav, (0, frames * size - len(wav))) for wav in users])
        echo = F.pad(torch.zeros_like(user), (late, size))

        def hear(t: int, steps: list[Tensor]) -> Tensor:
            if steps and (steps[-1] != UNGENERATED).all():
                voice = codec.decode(steps[-1][:, 1:, None], state)[:, 0]
                echo[:, late + (t - 1) * size : late + t * size] = gain * voice
            here = slice(t * size, (t + 1) * size)
            microphone = (user[:, here] + echo[:, here]).clamp(-1, 1)
            return codec.encode(microphone[:, None], state)[:, : config.n_user, 0]

        return hear

    @torch.inference_mode()
    def _answer(self, grid: Tensor) -> Answer:
        """int64 [1 + dep_q, T] -> sound and words; silence while the acoustic delay fills."""
        codec = self.model.codec
        silent = int((grid[0] == UNGENERATED).sum())
        wav = codec.decode(grid[None, 1:, silent:])[0, 0]
        wav = F.pad(wav, (silent * codec.frame_size, 0)).clamp(-1, 1).numpy()
        tokens = [PAD_ID if token == UNGENERATED else token for token in grid[0].tolist()]
        return Answer(wav, text_words(tokens, self.model.tokenizer))


def text_words(tokens: Sequence[int], tokenizer: TextTokenizer) -> list[Word]:
    """The text row of a conversation as words; a word ends with its last token's frame."""
    return [Word(*word) for word in timed_words(map(tokenizer.stream().push, tokens), FRAME_SECONDS)]


def step_milliseconds(model: FullDuplexDialogueModel, user: np.ndarray, seed: int = 0, **sampling: Any) -> dict:
    """How long a live session takes for a frame: hear, think, speak. user: float32 [S].

    `median_ms` and `p99_ms` in processor time, what it takes on a core of its own; `wall_median_ms` by the clock.
    """
    session = model.session(seed, **sampling)
    frames = torch.from_numpy(user).split(model.codec.frame_size)
    spent, wall = [], []
    for pcm in frames:
        if len(pcm) == model.codec.frame_size:
            began, started = time.process_time(), time.perf_counter()
            session.step(pcm)
            spent.append(time.process_time() - began)
            wall.append(time.perf_counter() - started)
    if len(spent) <= _WARM_UP:
        raise ValueError(f"timing needs more than {_WARM_UP} frames of a user, got {len(spent)}")
    median, tail = np.quantile(spent[_WARM_UP:], (0.5, 0.99))
    return {
        "frames": len(spent) - _WARM_UP,
        "median_ms": 1000 * float(median),
        "p99_ms": 1000 * float(tail),
        "wall_median_ms": 1000 * float(np.median(wall[_WARM_UP:])),
    }


def script_answer(case: Case) -> Answer:
    """What the script lets Moshi say: the oracle."""
    return Answer(case.stereo()[0], case.script())
