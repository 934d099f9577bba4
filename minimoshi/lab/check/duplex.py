"""Checks of notebook 10, two voices at once."""

from typing import Any

import torch

from .core import NotTried, Wrong, call, describe, exercise, want_equal
from .sound import draw

WINDOW = 0.01  # seconds of one cell of an activity row


def rows_of(users: int, codebooks: int, mixed: bool) -> tuple[int, int, tuple[int, ...]]:
    """How many rows a grid has, how many of them Moshi predicts, and the delays of all."""
    voices = 1 if mixed else 1 + users
    delays = (0, *(0, *[1] * (codebooks - 1)) * voices)
    return len(delays), 1 + codebooks, delays


@exercise("10", hint="a voice costs `codebooks` rows, the first on time; a mixture is one voice; text is one row.")
def duplex_rows(answer: Any, generator: torch.Generator) -> str:
    """`answer(users, codebooks, mixed) -> (rows, predicted, delays)` of a conversation with Moshi."""
    some = [(draw(generator, 1, 6), draw(generator, 2, 33), mixed) for mixed in (False, True)]
    for users, codebooks, mixed in [(1, 8, False), (1, 8, True), (3, 4, False), *some]:
        asked = f"duplex_rows({users}, {codebooks}, {mixed})"
        got = call(answer, users, codebooks, mixed)
        if not isinstance(got, tuple) or len(got) != 3:
            raise Wrong(f"shape: {asked} should return three things, rows, predicted and delays, got {describe(got)}")
        if any(part is Ellipsis for part in got):
            raise NotTried
        rows, predicted, delays = rows_of(users, codebooks, mixed)
        if got[0] == rows - 1:
            raise Wrong(f"value: {asked} counts {got[0]} rows; the text is one, too")
        want_equal(got[0], rows, f"the number of rows of {asked}")
        if got[1] == rows and rows != predicted:
            raise Wrong(f"value: {asked} predicts all {rows} rows; what users say is given, nobody predicts it")
        want_equal(got[1], predicted, f"the number of predicted rows of {asked}")
        _want_delays(got[2], delays, asked)
    return "Another user is more to hear and nothing more to say. A mixture saves rows and loses who spoke."


def _want_delays(got: Any, want: tuple[int, ...], asked: str) -> None:
    if not isinstance(got, (tuple, list)) or len(got) != len(want):
        raise Wrong(f"shape: the delays of {asked} should be {len(want)} numbers, got {describe(got)}")
    if tuple(got) != want:
        place = next(k for k, (a, b) in enumerate(zip(got, want, strict=True)) if a != b)
        raise Wrong(f"value: row {place} of {asked} is {got[place]} late, expected {want[place]}")


def starts_and_ends(row: torch.Tensor) -> tuple[list[int], list[int]]:
    """The first windows of sound, and the first of silence after each, of bool [T]."""
    edges = torch.diff(row.int(), prepend=torch.zeros(1, dtype=torch.int32), append=torch.zeros(1, dtype=torch.int32))
    return (edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist()


def gaps_between(moshi: torch.Tensor, user: torch.Tensor) -> list[float | None]:
    """For each stretch of the user, seconds from its end to Moshi's first start after it began; None for no answer."""
    starts, ends = starts_and_ends(user)
    until = [*starts[1:], len(user)]
    own = starts_and_ends(moshi)[0]
    begun = [next((s for s in own if a <= s < b), None) for a, b in zip(starts, until, strict=True)]
    return [None if s is None else (s - end) * WINDOW for s, end in zip(begun, ends, strict=True)]


def activity(stretches: list[tuple[int, int]], length: int) -> torch.Tensor:
    row = torch.zeros(length, dtype=torch.bool)
    for start, end in stretches:
        row[start:end] = True
    return row


def drawn_activity(generator: torch.Generator, length: int = 300) -> torch.Tensor:
    """Some stretches of sound, silence before the first and after the last."""
    edges = (torch.randperm(length - 20, generator=generator)[:8].sort().values + 10).tolist()
    return activity(list(zip(edges[::2], edges[1::2], strict=True)), length)


GAP_CASES = [
    ("an answer after the user's end", [(40, 90)], [(10, 20)]),
    ("Moshi begins before the user has ended", [(30, 70)], [(10, 40)]),
    ("nobody answers", [], [(10, 40)]),
    ("Moshi was speaking already and goes on", [(0, 60)], [(10, 40)]),
    ("Moshi answers the second turn only", [(90, 99)], [(10, 20), (50, 80)]),
    ("Moshi answers twice", [(30, 40), (50, 60)], [(10, 20)]),
    ("both begin in the same window", [(10, 30)], [(10, 40)]),
]


@exercise("10", hint="find where each row turns on and off (`torch.diff`); take Moshi's first start in the right span.")
def answer_gaps(answer: Any, generator: torch.Generator) -> str:
    """`answer(moshi, user) -> list`: seconds or None for each stretch of the user; bool [T], a window is 10 ms."""
    cases = [(name, activity(moshi, 120), activity(user, 120)) for name, moshi, user in GAP_CASES]
    cases += [("rows drawn at random", drawn_activity(generator), drawn_activity(generator)) for _ in range(5)]
    for name, moshi, user in cases:
        want, got = gaps_between(moshi, user), call(answer, moshi.clone(), user.clone())
        got = got.tolist() if isinstance(got, torch.Tensor) else got
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            raise Wrong(f"shape: {name}: expected a list of {len(want)} gaps, one for each turn, got {describe(got)}")
        for turn, (have, should) in enumerate(zip(got, want, strict=True)):
            _want_gap(have, should, f"{name}: the gap after turn {turn}")
    return "Above zero a gap, below zero an overlap, None where nobody answered: the same rule for people and machines."


def _want_gap(got: Any, want: float | None, what: str) -> None:
    if (got is None) != (want is None):
        raise Wrong(f"value: {what} is {got}, expected {want}")
    if want is None:
        return
    if not isinstance(got, (int, float, torch.Tensor)):
        raise Wrong(f"{what} should be a number or None, got {describe(got)}")
    if abs(float(got) - want) > 1e-4:
        unit = "; count in seconds, 10 ms a window" if want and abs(float(got) * WINDOW - want) < 1e-4 else ""
        sign = "; below zero when Moshi begins before the user's end" if abs(float(got) + want) < 1e-4 else ""
        end = "; a stretch ends where its first silent window begins" if abs(float(got) - WINDOW - want) < 1e-4 else ""
        raise Wrong(f"value: {what} is {float(got):.2f} s, expected {want:.2f} s{unit or sign or end}")


def ends_of_turns(active: torch.Tensor, patience: int) -> list[int]:
    """The frames in which a timer says "it is over": the `patience`-th silent frame after sound."""
    found, silent, speaking = [], 0, False
    for frame, loud in enumerate(active.tolist()):
        silent, speaking = (0, True) if loud else (silent + 1, speaking)
        if speaking and silent == patience:
            found.append(frame)
            speaking = False
    return found


@exercise("10", hint="walk frame by frame: a loud frame sets the count of silent ones to 0; it fires at patience.")
def turn_over(answer: Any, generator: torch.Generator) -> str:
    """`answer(active, patience) -> list of frames` in which a cascade decides that the user's turn is over."""
    cases = [
        ("one turn", activity([(3, 8)], 20), 4),
        ("a pause shorter than the patience", activity([(2, 6), (8, 12)], 24), 4),
        ("a pause just as long as the patience", activity([(2, 6), (10, 12)], 24), 4),
        ("silence only", activity([], 12), 3),
        ("a turn that ends too late to be sure", activity([(5, 10)], 12), 4),
        ("the least patience", activity([(0, 2), (4, 5)], 9), 1),
        *(("rows drawn at random", drawn_activity(generator, 120), draw(generator, 1, 20)) for _ in range(5)),
    ]
    for name, active, patience in cases:
        want, got = ends_of_turns(active, patience), call(answer, active.clone(), patience)
        got = got.tolist() if isinstance(got, torch.Tensor) else got
        if not isinstance(got, (list, tuple)):
            raise Wrong(f"expected a list of frames, got {describe(got)}")
        got = list(got)
        if got != want:
            raise Wrong(f"value: {name}, patience {patience}: {got}, expected {want}{_why_over(got, want, patience)}")
    return "It knows only that it has been silent for long enough; and so it is never quicker than its patience."


def _why_over(got: list, want: list[int], patience: int) -> str:
    if got and [g + 1 for g in got] == want:
        return "; a frame too early: so many silent frames must have been heard"
    if got and [g + patience - 1 for g in got] == want:
        return "; that is where the silence begins, and nobody can know there that it will last"
    if len(got) > len(want):
        return "; a turn is over once, and only after sound"
    return ""
