"""Checks of notebook 07, grids of tokens."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...moshi.grid import ZERO_TOKEN, delay
from .core import Wrong, call, describe, exercise, untouched, want_equal, want_shape
from .sound import draw

InputsOf = Callable[[Tensor], Tensor]


def stretched(grid: Tensor, delays: tuple[int, ...], initial: Tensor) -> Tensor:
    """[K, T] -> [K, T + max(delays)]: `delay` with room at the end, ZERO_TOKEN where a row is over."""
    longer = pad(grid, (0, max(delays)), value=ZERO_TOKEN)
    return delay(longer[None], delays, initial)[0]


def random_grid(generator: torch.Generator, delays: tuple[int, ...], frames: int) -> tuple[Tensor, Tensor]:
    """A grid int64 [K, T] and initial ids int64 [K] that do not occur in it."""
    grid = torch.randint(0, 512, (len(delays), frames), generator=generator)
    return grid, torch.tensor([1000] + [512] * (len(delays) - 1))


@exercise("07", hint="start from torch.full((K, T + longest), -1); then a slice of initial ids, then the row itself.")
def stretch(answer: Any, generator: torch.Generator) -> str:
    """`answer(grid [K, T], delays, initial [K]) -> [K, T + max(delays)]`: a delayed grid that loses nothing."""
    for delays, frames in (((0, 0, 1, 1), 6), ((0, 2, 0, 3, 1), 5), ((0, 0, 0), 4), ((0, 4), 2)):
        grid, initial = random_grid(generator, delays, frames)
        given, longest = grid.clone(), max(delays)
        got = call(answer, grid, delays, initial)
        want_shape(got, (len(delays), frames + longest), "[K, T + longest delay]", f"the grid for delays {delays}")
        if not torch.equal(grid, given):
            raise Wrong("value: the grid you were given has changed; write into a new one")
        got = torch.as_tensor(got)
        for k, d in enumerate(delays):
            for part, what, name in (
                (slice(0, d), initial[k].expand(d), f"begin with its initial id {initial[k]}, {d} times"),
                (slice(d, d + frames), grid[k], f"hold its tokens from column {d} on"),
                (slice(d + frames, None), torch.full((longest - d,), ZERO_TOKEN), "end with -1, “nothing here”"),
            ):
                if not torch.equal(got[k, part], what):
                    raise Wrong(
                        f"value: with delays {delays}, row {k} should {name}; it is {got[k].tolist()} "
                        f"and its tokens are {grid[k].tolist()}"
                    )
    return "Every token of every row is there, each row as late as it should be."


@exercise(
    "07", hint="T frames are in the rows that come out; the last one of row k stands in column delays[k] + T - 1."
)
def back(answer: Any, generator: torch.Generator) -> str:
    """`answer(late [K, T + max(delays)], delays) -> [K, T]`: the time-aligned grid again."""
    for delays, frames in (((0, 0, 1, 1), 6), ((0, 2, 0, 3, 1), 5), ((0, 0, 0), 4), ((0, 4), 2)):
        grid, initial = random_grid(generator, delays, frames)
        got = call(answer, stretched(grid, delays, initial), delays)
        want_shape(got, tuple(grid.shape), "[K, T]", f"the aligned grid for delays {delays}")
        wrong = (torch.as_tensor(got) != grid).any(1).nonzero().flatten().tolist()
        if wrong:
            k = wrong[0]
            raise Wrong(
                f"value: with delays {delays}, row {k} is {torch.as_tensor(got)[k].tolist()}, "
                f"expected {grid[k].tolist()}"
            )
    return "There and back, and nothing was lost on the way."


CASES = [
    ("delay", 6, (0, 0, 1, 1), 5),
    ("flatten", 6, (0, 0, 1, 1), 5),
    ("delay", 125, (0,) * 8, 80),
    ("flatten", 125, (0,) * 8, 10),
    ("flatten", 125, (0,) * 8, 11),
    ("delay", 750, tuple(range(8)), 81),
    ("delay", 1, (0, *(0, 1, 1, 1, 1, 1, 1, 1) * 2), 79.5),
]


@exercise(
    "07", hint="flattened, a frame costs a step per row; side by side, one step, and the longest delay once more."
)
def count_steps(answer: Any, generator: torch.Generator) -> str:
    """`answer(layout, frames, delays, step_ms) -> (steps, keeps_up)` for layout "flatten" or "delay"."""
    more = draw(generator, 2, 900)
    for layout, frames, delays, step_ms in [*CASES, ("delay", more, (0, 3), 20), ("flatten", more, (0, 3), 20)]:
        per_frame = len(delays) if layout == "flatten" else 1
        steps = frames * per_frame + (0 if layout == "flatten" else max(delays))
        asked = f"count_steps({layout!r}, {frames}, {delays}, {step_ms})"
        result = call(answer, layout, frames, delays, step_ms)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Wrong(f"shape: {asked} should be two things, steps and keeps_up, got {describe(result)}")
        untouched(result)
        if layout == "delay" and max(delays) and result[0] == frames:
            raise Wrong(
                f"value: {asked} gives {frames} steps, but the row that is {max(delays)} late has its last token in "
                f"step {steps}"
            )
        want_equal(result[0], steps, f"the number of steps of {asked}")
        need = f"keeps_up of {asked}, where a frame of 80 ms needs {per_frame * step_ms:g} ms of computing,"
        want_equal(result[1], per_frame * step_ms <= 80, need)
    return "Side by side, the length of a conversation does not hang on the number of rows."


def pipelines(delays: tuple[int, ...], initial: Tensor) -> list[tuple[str, list[int], InputsOf]]:
    """(name, rows that leak, time-aligned codes [K, T] -> what the model sees while it predicts each column [K, T])."""
    rows = len(delays)
    late = [k for k in range(rows) if delays[k]]

    def delayed(codes: Tensor) -> Tensor:
        return delay(codes[None], delays, initial)[0]

    def shifted(columns: Tensor) -> Tensor:
        return torch.cat([initial[:, None], columns[:, :-1]], dim=1)

    def one_row_early(codes: Tensor) -> Tensor:
        inputs = shifted(delayed(codes))
        inputs[1] = delayed(codes)[1]
        return inputs

    def late_leak(codes: Tensor) -> Tensor:
        inputs = shifted(delayed(codes))
        inputs[0, 9:] = delayed(codes)[0, 9:]
        return inputs

    def turned(codes: Tensor) -> Tensor:
        return shifted(delay(codes[None], [max(delays) - d for d in delays], initial)[0])

    ahead = [k for k in range(rows) if max(delays) - delays[k] + 1 <= delays[k]]
    return [
        ("the generator's own inputs", [], lambda codes: shifted(delayed(codes))),
        ("a shift that was forgotten", list(range(rows)), delayed),
        ("a shift of two", [], lambda codes: shifted(shifted(delayed(codes)))),
        ("inputs that were shifted and never delayed", late, shifted),
        ("a single row that was not shifted", [1], one_row_early),
        ("a row that forgets the shift after a while", [0], late_leak),
        ("inputs with the delays turned round", ahead, turned),
    ]


@exercise(
    "07",
    hint="change codes[k, f] for each k and f: where is the first column of the inputs that notices? "
    "Its target stands in column f + delays[k].",
)
def leaking_rows(answer: Any, generator: torch.Generator) -> str:
    """`answer(inputs_of, delays, frames) -> list of rows` whose answer can be read before it has been given."""
    found = 0
    for delays in ((0, 0, 1, 1), (0, 2, 1)):
        initial = torch.tensor([1000] + [512] * (len(delays) - 1))
        for name, want, inputs_of in pipelines(delays, initial):
            got = call(answer, inputs_of, delays, 16)
            if isinstance(got, Tensor):
                got = got.tolist()
            if not isinstance(got, (list, tuple, set)):
                raise Wrong(f"return the rows that leak as a list, got {describe(got)}")
            try:
                got = sorted({int(row) for row in got})
            except (TypeError, ValueError):
                raise Wrong(f"return a list of rows k, a whole number each, got {describe(got)}") from None
            if got != want:
                leak = f"rows {want} leak" if want else "no row leaks"
                raise Wrong(f"value: {name} (delays {delays}): {leak}, you found {got}")
            found += bool(want)
    return f"All {found} leaking pipelines caught, row by row, and the honest ones let go."
