"""Checks of notebook 09, the inner monologue."""

from typing import Any

import torch

from ...config import EPAD_ID, PAD_ID
from ...moshi.grid import ZERO_TOKEN
from .core import Wrong, call, describe, exercise, want_equal, want_shape
from .sound import draw

TimedTokens = list[tuple[list[int], float]]


def patient(words: TimedTokens, frames: int) -> torch.Tensor:
    """The text row [T] in which no word cuts off another: it waits until the one before is out."""
    row, free = torch.full((frames,), PAD_ID), 0
    for tokens, start in words:
        first = max(free, int(start * 12.5 + 1e-3))
        for place, token in enumerate(tokens, first):
            if place < frames:
                row[place] = token
        if 0 < first < frames and row[first - 1] == PAD_ID:
            row[first - 1] = EPAD_ID
        free = first + len(tokens)
    return row


def said_words(generator: torch.Generator) -> TimedTokens:
    """Some words of one to three tokens; starts lie well inside a frame, and often too close to each other."""
    words, frame = [], draw(generator, 0, 3)
    for _ in range(6):
        count = draw(generator, 1, 4)
        words.append(([draw(generator, 10, 900) for _ in range(count)], (frame + 0.5) / 12.5))
        frame += draw(generator, 1, 5)
    return words


CASES: list[tuple[str, TimedTokens, int]] = [
    ("a word with room around it", [([41, 42], 0.36)], 9),
    ("a word in the first frame", [([41], 0.04)], 4),
    ("two words with PAD between them", [([41], 0.12), ([51], 0.6)], 10),
    ("a word that comes too early", [([41, 42, 43], 0.12), ([51], 0.2)], 8),
    ("two words that wait", [([41, 42, 43], 0.12), ([51, 52], 0.2), ([61], 0.28)], 9),
    ("a word that runs off the end", [([41, 42, 43], 0.36)], 6),
    ("a word that would begin after the end", [([41, 42, 43], 0.12), ([51], 0.2)], 4),
]


@exercise(
    "09", hint="keep the number of the first free frame; a word begins in max(free, its own frame), EPAD one before."
)
def patient_row(answer: Any, generator: torch.Generator) -> str:
    """`answer(words, frames) -> int64 [T]`, words = [(tokens, start in seconds)]: nothing is cut off."""
    more = [("words drawn at random", said_words(generator), 30) for _ in range(5)]
    for name, words, frames in [*CASES, *more]:
        want, got = patient(words, frames), call(answer, [(list(tokens), start) for tokens, start in words], frames)
        want_shape(got, (frames,), "[T]", "the text row")
        got = torch.as_tensor(got)
        if torch.equal(got, want):
            continue
        lost = [t for tokens, _ in words for t in tokens if t in want.tolist() and t not in got.tolist()]
        why = ""
        if lost:
            why = f"; token {lost[0]} is missing, a word must wait until the one before is out"
        elif torch.equal(got.where(got != EPAD_ID, PAD_ID), want.where(want != EPAD_ID, PAD_ID)):
            why = "; the words are right, look at EPAD (0): in the frame before a word, only where PAD is"
        raise Wrong(f"value: {name}, {words} in {frames} frames, should give {want.tolist()}, got {got.tolist()}{why}")
    return "Every token is there, in order, as near to its sound as there is room."


@exercise("09", hint="no delay may be negative: only one side waits, text or sound. Sound waits with all its rows.")
def delays_for(answer: Any, generator: torch.Generator) -> str:
    """`answer(lead, acoustic) -> (delay of the text, delay of each sound row)`; lead < 0: the text is behind."""
    leads = (0, 2, -5, 25, -25, draw(generator, 3, 40), -draw(generator, 3, 40))
    for acoustic in ((0, 1, 1), (0, 1, 1, 1, 1, 1, 1, 1), (0,)):
        for lead in leads:
            asked = f"delays_for({lead}, {acoustic})"
            got = call(answer, lead, acoustic)
            if not isinstance(got, (tuple, list)) or len(got) != 1 + len(acoustic):
                raise Wrong(f"shape: {asked} should be {1 + len(acoustic)} delays, text first, got {describe(got)}")
            got, want = tuple(got), (max(0, -lead), *(a + max(0, lead) for a in acoustic))
            if min(got) < 0:
                raise Wrong(f"value: {asked} is {got}; nothing can be written earlier than its frame")
            if lead and got == (max(0, lead), *(a + max(0, -lead) for a in acoustic)):
                raise Wrong(f"value: {asked} is {got}, the wrong way round: who is ahead is written *earlier*")
            want_equal(got, want, asked)
    return "Ahead it speaks, behind it listens, at zero it converses."


@exercise("09", hint="count the frames 0 … length − 1 whose latest row stands in a column before the token's.")
def heard_frames(answer: Any, generator: torch.Generator) -> str:
    """`answer(delays, length) -> int`: frames of a word's sound, all rows, that its token has in its past."""
    more = tuple(draw(generator, 0, 9) for _ in range(4))
    for delays in ((0, 0, 1, 1), (5, 0, 1, 1), (3, 0, 1, 1), (1, 0, 1, 1), (0, 2, 3, 3), (9, 0, 1, 1), (2, 0), more):
        for length in (4, 6):
            want = sum(f + max(delays[1:]) < delays[0] for f in range(length))
            got = call(answer, delays, length)
            if got != want and got == sum(f + min(delays[1:]) < delays[0] for f in range(length)):
                raise Wrong(
                    f"value: heard_frames({delays}, {length}) should be {want}, got {got}; a frame is complete only "
                    "with its latest row"
                )
            want_equal(got, want, f"heard_frames({delays}, {length})")
    return "The acoustic delay costs a recogniser one column more."


@exercise("09", hint="`clone` first; `roll(1, 0)` moves rows along the batch; -1 is the token that says nothing.")
def ablate(answer: Any, generator: torch.Generator) -> str:
    """`answer(grids [B, K, T], what) -> [B, K, T]` for what in "no text", "no epad", "slipped"."""
    grids = torch.randint(1, 16, (4, 4, 12), generator=generator)
    choice = torch.randint(0, 3, (4, 12), generator=generator)
    grids[:, 0] = torch.tensor([PAD_ID, EPAD_ID, 9])[choice] + torch.arange(4)[:, None] * (choice == 2)
    given = grids.clone()
    text = given[:, 0]
    wanted = {
        "no text": torch.full_like(text, ZERO_TOKEN),
        "no epad": text.where(text != EPAD_ID, PAD_ID),
        "slipped": text.roll(1, 0),
    }
    for what, row in wanted.items():
        got = call(answer, grids, what)
        want_shape(got, tuple(given.shape), "[B, K, T]", f"the grids for {what!r}")
        if not torch.equal(grids, given):
            raise Wrong(f"value: {what!r} has changed the grids you were given; work on a clone")
        if not torch.equal(got[:, 1:], given[:, 1:]):
            raise Wrong(f"value: {what!r} should leave the sound as it is, rows 1 and up")
        if what == "slipped" and torch.equal(got[:, 0], text.roll(-1, 0)):
            raise Wrong("value: 'slipped' goes the other way: sentence i gets the text of sentence i - 1")
        if what == "no text" and (got[:, 0] == PAD_ID).all():
            raise Wrong("value: a row of PAD is a text too: it says that nobody speaks. Hidden is -1")
        if not torch.equal(got[:, 0], row):
            raise Wrong(f"value: {what!r} should give sentence 1 the text {row[1].tolist()}, got {got[1, 0].tolist()}")
    return "Three knives; each cuts one thing and leaves the rest alone."
