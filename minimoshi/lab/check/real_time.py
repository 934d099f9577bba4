"""Checks of notebook 12, real time."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .core import Wrong, call, describe, exercise, want_equal, want_shape
from .sound import draw

FRAME_MS = 80


# --------------------------------------------------------------------------------------------- drawing a token


def chances(logits: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """[B, V] -> the chance of every token; `temperature` above 0."""
    if top_k is not None:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -math.inf)
    return torch.softmax(logits / temperature, dim=-1)


def token_at(logits: Tensor, temperature: float, top_k: int | None, u: Tensor) -> Tensor:
    """What `draw_token` should give."""
    if temperature == 0:
        return logits.argmax(-1)
    return (chances(logits, temperature, top_k).cumsum(-1) <= u[:, None]).sum(-1)


def clear_numbers(shares: Tensor, generator: torch.Generator) -> Tensor:
    """u [B] in 0..1, none so near to a border between two tokens that rounding decides."""
    borders = shares.cumsum(-1)
    while True:
        u = 0.999 * torch.rand(len(shares), generator=generator)
        if (borders - u[:, None]).abs().min() > 1e-5:
            return u


@exercise(
    "12", hint="0: argmax. Else: -inf for all but the k likeliest, / temperature, softmax, cumsum, compare with u."
)
def draw_token(answer: Any, generator: torch.Generator) -> str:
    """`answer(logits [B, V], temperature, top_k, u [B]) -> int64 [B]`: the token at u on the line of chances."""
    for temperature, top_k in ((1.0, None), (0.0, None), (0.7, None), (1.0, 3), (0.6, 8), (1.5, 1), (0.0, 5)):
        for rows in (1, 6):
            logits = 3 * torch.randn(rows, 20, generator=generator)
            u = clear_numbers(chances(logits, temperature or 1.0, top_k), generator)
            given, want = logits.clone(), token_at(logits, temperature, top_k, u)
            got = call(answer, given, temperature, top_k, u)
            want_shape(got, (rows,), "[B]", "the drawn tokens")
            if not torch.equal(given, logits):
                raise Wrong("value: the logits you were given have changed; work on a copy (`masked_fill` makes one)")
            got = torch.as_tensor(got)
            if not torch.equal(got, want):
                why = _why(got, logits, temperature, top_k, u)
                row = int((got != want).nonzero()[0, 0])
                raise Wrong(
                    f"value: temperature {temperature:g}, top_k {top_k}, u {u[row]:.3f}: token {got[row].item()}, "
                    f"expected {want[row].item()}{why}"
                )
            if got.dtype != torch.int64:
                raise Wrong(f"value: tokens are whole numbers, int64, got {describe(got)}")
    return "One number between 0 and 1, one token; and at 0 no luck at all."


def _why(got: Tensor, logits: Tensor, temperature: float, top_k: int | None, u: Tensor) -> str:
    if temperature == 0:
        return "; at 0 the likeliest token wins, whatever u is"
    if top_k is not None and torch.equal(got, token_at(logits, temperature, None, u)):
        return "; all tokens took part, not only the likeliest top_k"
    if temperature != 1 and torch.equal(got, token_at(logits, 1 / temperature, top_k, u)):
        return "; logits are divided by the temperature, not multiplied"
    if temperature != 1 and torch.equal(got, token_at(logits, 1.0, top_k, u)):
        return "; the temperature had no effect"
    if top_k is not None and torch.equal(got.clamp(max=logits.shape[1] - 1), _unscaled(logits, temperature, top_k, u)):
        return "; after top-k the chances must sum to 1 again: forbid tokens before softmax"
    return ""


def _unscaled(logits: Tensor, temperature: float, top_k: int, u: Tensor) -> Tensor:
    kept = chances(logits, temperature, top_k) > 0
    stretch = (chances(logits, temperature, None) * kept).cumsum(-1)
    return (stretch <= u[:, None]).sum(-1).clamp(max=logits.shape[1] - 1)


# ---------------------------------------------------------------------------------------------- falling silent


def first_silence(levels: Sequence[float], asked: int, floor: float, patience: int) -> int:
    """The first frame from `asked` on with which `patience` frames below `floor` begin; -1: there is none."""
    for frame in range(asked, len(levels) - patience + 1):
        if all(level < floor for level in levels[frame : frame + patience]):
            return frame
    return -1


def talk_levels(generator: torch.Generator) -> list[float]:
    """Decibels of words and pauses of random length."""
    levels: list[float] = []
    while len(levels) < 40:
        for loud in (True, False):
            base = -20 if loud else -70
            levels += [base + draw(generator, -5, 6) for _ in range(draw(generator, 1, 7))]
    return levels


LOUD, QUIET = -20.0, -70.0
SILENCES: list[tuple[str, list[float], int, int]] = [
    ("silence begins after two more words", [LOUD] * 5 + [QUIET] * 6, 2, 4),
    ("it is silent already", [LOUD] * 2 + [QUIET] * 9, 5, 4),
    ("a pause between two words", [LOUD] * 3 + [QUIET] * 2 + [LOUD] * 3 + [QUIET] * 5, 1, 4),
    ("silence before the request does not count", [QUIET] * 6 + [LOUD] * 3 + [QUIET] * 5, 6, 4),
    ("it never stops", [LOUD, QUIET] * 6, 2, 2),
    ("the recording ends too early to be sure", [LOUD] * 6 + [QUIET] * 3, 2, 4),
    ("silence up to the very end", [LOUD] * 6 + [QUIET] * 4, 2, 4),
]


@exercise("12", hint="for every frame from `asked` on: are this one and the next patience - 1 all below the floor?")
def silent_from(answer: Any, generator: torch.Generator) -> str:
    """`answer(levels, asked, floor, patience) -> int`: the frame with which Moshi falls silent, -1 for never."""
    more = [("words drawn at random", talk_levels(generator), draw(generator, 0, 12), p) for p in (1, 3, 5)]
    for name, levels, asked, patience in [*SILENCES, *more]:
        want, got = first_silence(levels, asked, -45.0, patience), call(answer, list(levels), asked, -45.0, patience)
        got = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
        if got == want or not isinstance(got, int):
            want_equal(got, want, f"the frame ({name})")
            continue
        why = ""
        if got == first_silence(levels, 0, -45.0, patience):
            why = "; look from `asked` on"
        elif got == first_silence(levels, asked, -45.0, 1):
            why = f"; a pause is not silence: {patience} frames in a row must be quiet"
        elif want == -1:
            why = f"; -1 where there are not {patience} quiet frames in a row"
        raise Wrong(f"value: {name}, asked in frame {asked}, patience {patience}: {got}, expected {want}{why}")
    return "A pause is no silence, and a silence that the recording cuts off proves nothing."


# --------------------------------------------------------------------------------------------- the least delay


def waits(work_ms: Sequence[float]) -> list[float]:
    """Per frame, the milliseconds from its arrival (every 80 ms) until its answer is ready; nothing is dropped."""
    free, found = 0.0, []
    for frame, ms in enumerate(work_ms):
        free = max(free, FRAME_MS * frame) + ms
        found.append(free - FRAME_MS * frame)
    return found


@exercise(
    "12", hint="free = max(free, 80 * i) + work[i] is when answer i is ready; sort the waits, leave out the worst."
)
def least_delay(answer: Any, generator: torch.Generator) -> str:
    """`answer(work_ms, misses) -> ms`: play answers so long after their frame, and at most `misses` come too late."""
    random = [20 + draw(generator, 0, 30) + 150 * (draw(generator, 0, 8) == 0) for _ in range(30)]
    cases = [
        ("steady work", [30] * 6, 0),
        ("one frame of 200 ms", [30, 30, 200, 30, 30, 30, 30, 30], 0),
        ("one frame of 200 ms, one may be missed", [30, 30, 200, 30, 30, 30, 30, 30], 1),
        ("always too slow", [90] * 10, 0),
        ("work drawn at random", random, 0),
        ("work drawn at random", random, 3),
    ]
    for name, work, misses in cases:
        delays = sorted(waits(work))
        want, got = delays[-1 - misses], call(answer, list(work), misses)
        got = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
        if isinstance(got, bool) or not isinstance(got, (int, float)):
            raise Wrong(f"the delay should be a number of milliseconds, got {describe(got)}")
        if math.isclose(got, want, abs_tol=1e-6):
            continue
        why = ""
        if math.isclose(got, sorted(work)[-1 - misses], abs_tol=1e-6):
            why = "; a frame also waits until those before it are done"
        elif misses and math.isclose(got, delays[-1], abs_tol=1e-6):
            why = f"; the {misses} latest may be missed"
        elif math.isclose(got, _without_rest(work, misses), abs_tol=1e-6):
            why = "; work cannot begin before the frame is here: max(free, 80 * i)"
        raise Wrong(f"value: {name}, {misses} may be missed: {got:g} ms, expected {want:g}{why}")
    return "A buffer is a percentile: you choose how many gaps you can bear."


def _without_rest(work: Sequence[float], misses: int) -> float:
    done, found = 0.0, []
    for frame, ms in enumerate(work):
        done += ms
        found.append(done - FRAME_MS * frame)
    return sorted(found)[-1 - misses]
