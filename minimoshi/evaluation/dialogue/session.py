"""Is a long conversation answered to its end? `minimoshi evaluate session MODEL --minutes 30`.

The card's episodes last half a minute, a few of them three. Here one session is asked the sample questions in turn for
as long as is wanted, and its own text is compared with the answers, tenth by tenth: who falls asleep, drifts, or slows
down is found out. (`minimoshi load` looks at the memory and the delays of a server.)
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...audio import check_writable
from ...config import SAMPLE_RATE
from ...moshi import FullDuplexDialogueModel
from ...moshi.dialogue import timed_words
from .hearing import plain

# names of samples, and the answers
ASKED = (
    ("three-plus-four", "three plus four is seven"),
    ("opposite-of-hot", "the opposite of hot is cold"),
    ("two-plus-three", "two plus three is five"),
    ("my-name-is-anna", "hello anna"),
    ("what-is-my-name", "your name is anna"),
    ("count-to-nine", "one two three four five six seven eight nine"),
)
PAUSE, COUNTING = 3.4, 5.0  # seconds for an answer, and for the long one
EARLY = 0.4  # seconds before the end of a question in which its answer may begin
TENTHS = 10


@dataclass(frozen=True)
class Question:
    """`expected` is to be said between the seconds `start` and `end` of the session."""

    expected: str
    start: float
    end: float


def ask(minutes: float) -> tuple[Tensor, list[Question]]:
    """A user who asks for so long: sound float [S] of whole frames, and the questions. ValueError for too few."""
    from ...lab import questions

    parts: list[str | float] = [1.0]
    asked, now, number = [], 1.0, 0
    lengths = {name: len(questions(name)) / SAMPLE_RATE for name, _ in ASKED}
    while True:
        name, answer = ASKED[number % len(ASKED)]
        pause = COUNTING if name == "count-to-nine" else PAUSE
        over = now + lengths[name]
        if over + pause > 60 * minutes:
            break
        parts += [name, pause]
        asked.append(Question(answer, over - EARLY, over + pause - EARLY))
        now, number = over + pause, number + 1
    if len(asked) < TENTHS:
        raise ValueError(f"{minutes} minutes are enough for {len(asked)} questions, expected {TENTHS}: give 1 or more")
    sound = questions(*parts)
    return torch.nn.functional.pad(sound, (0, -len(sound) % 1920)), asked


@dataclass
class Held:
    """What came of a session: which questions were answered right, what was said, and seconds that each frame took."""

    right: list[bool]
    said: list[str]
    seconds: np.ndarray

    def tenths(self) -> list[tuple[int, int, float]]:
        """(right, asked, median ms of a frame) of every tenth of the session."""
        parts = zip(np.array_split(np.array(self.right), TENTHS), np.array_split(self.seconds, TENTHS), strict=True)
        return [(int(right.sum()), len(right), 1000 * float(np.median(spent))) for right, spent in parts]


@torch.inference_mode()
def hold(
    model: FullDuplexDialogueModel, sound: Tensor, asked: list[Question], seed: int = 0, progress: bool = True
) -> Held:
    """One session through all of `sound`, float [S]; right is the same words in the model's own text, in time."""
    session, size = model.session(seed), model.codec.frame_size
    text, spent = [], []
    for pcm in tqdm(sound.split(size), unit="frame", mininterval=1, disable=not progress):
        began = time.perf_counter()
        text.append(session.step(pcm).text)
        spent.append(time.perf_counter() - began)
    words = timed_words(text, size / SAMPLE_RATE)
    said = [" ".join(word for word, start, _ in words if one.start <= start < one.end) for one in asked]
    right = [plain(heard) == plain(one.expected) for heard, one in zip(said, asked, strict=True)]
    return Held(right, said, np.array(spent))


def run(options: argparse.Namespace) -> None:
    """The work of `minimoshi evaluate session`, whose options are in `session_command.py`."""
    from .run import load_model

    if options.plot:
        check_writable(Path(options.plot), options.force)
    sound, asked = ask(options.minutes)
    held = hold(load_model(options.model), sound, asked, options.seed)
    for part, (right, of, median) in enumerate(held.tenths()):
        print(f"from {part * options.minutes / TENTHS:5.1f} min: {right:3d} of {of} right, {median:.1f} ms a frame")
    print(f"{sum(held.right)} of {len(asked)} right")
    wrong = [(one, said) for one, said, right in zip(asked, held.said, held.right, strict=True) if not right]
    for one, said in wrong[: options.wrong]:
        print(f"  after {one.start / 60:.1f} min, not “{one.expected}” but “{said}”")
    if options.plot:
        _plot(held, options.minutes, Path(options.plot))


def _plot(held: Held, minutes: float, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    answers, step = figure.subplots(2, sharex=True)
    middles = (np.arange(TENTHS) + 0.5) * minutes / TENTHS
    tenths = held.tenths()
    answers.bar(middles, [100 * right / of for right, of, _ in tenths], width=0.8 * minutes / TENTHS)
    answers.set(ylabel="right answers (%)", ylim=(0, 105))
    step.plot(middles, [median for *_, median in tenths], "o-")
    step.set(ylabel="a frame, median (ms)", xlabel="minutes", ylim=(0, None))
    figure.savefig(path, dpi=120)
