"""Checks of notebook 02, Helium."""

from typing import Any

import torch
from torch import Tensor

from ...config import HeliumConfig
from ...nn.attention import Rotary, rotate
from ...text import HeliumModel
from .core import Wrong, call, describe, exercise, want_close, want_equal, want_shape
from .sound import draw


def masks(steps: int, generator: torch.Generator) -> list[tuple[str, Tensor]]:
    """(name, bool [query, key]) of masks, some of which leak."""
    everything = torch.ones(steps, steps, dtype=torch.bool)
    causal = everything.tril()
    one_hole = causal.clone()
    row = draw(generator, 0, steps - 2)
    one_hole[row, draw(generator, row + 1, steps - 1)] = True
    return [
        ("a causal mask", causal),
        ("a window of 3", causal.triu(-2)),
        ("two lines that may not see each other", torch.block_diag(causal[:4, :4], causal[4:, 4:]).bool()),
        ("a mask that is off by one", everything.tril(1)),
        ("a mask whose axes are swapped", everything.triu()),
        ("a mask that hides the present too", everything.tril(-1)),
        ("a mask with a single hole", one_hole),
        ("no mask at all", everything),
    ]


@exercise("02", hint="a key leaks into a query where its column is larger than its row: mask.triu(1).nonzero().")
def leaks(answer: Any, generator: torch.Generator) -> str:
    """`answer(mask bool [T, T]) -> [(query, key), …]`: every place where a query may see a later key."""
    found = 0
    for name, mask in masks(9, generator):
        want = {(query, key) for query, key in mask.nonzero().tolist() if key > query}
        got = call(answer, mask.clone())
        if not isinstance(got, (list, set, Tensor)):
            raise Wrong(f"return a list of pairs (query, key), got {describe(got)}")
        try:
            pairs = {(int(query), int(key)) for query, key in got}
        except (TypeError, ValueError):
            raise Wrong(f"return a list of pairs (query, key), two whole numbers each, got {describe(got)}") from None
        swapped = {(key, query) for query, key in pairs}
        if swapped == want != pairs:
            raise Wrong(f"value: for {name} the pairs are the wrong way round: first the query (row), then the key")
        if not want and pairs:
            raise Wrong(f"value: {name} leaks nowhere, but {sorted(pairs)[0]} was reported; no query may be accused of "
                        "looking at itself or back")
        if pairs != want:
            raise Wrong(f"value: {name} leaks in {len(want)} places, {len(pairs & want)} of them were found, and "
                        f"{len(pairs - want)} others reported")
        found += bool(want)
    return f"All {found} leaking masks caught, and the innocent ones let go."


def turned(x: Tensor, positions: Tensor, max_period: float) -> Tensor:
    """float [T, D] -> [T, D]: the package's own rotation."""
    return rotate(x[None], Rotary(x.shape[-1], max_period)(positions[None]))[0]


def _mistaken(x: Tensor, positions: Tensor, max_period: float) -> dict[str, Tensor]:
    """What well-known mistakes give."""
    halves = x.unflatten(-1, (2, -1)).mT.flatten(-2)  # so that neighbours are what were halves
    return {
        "it turns the wrong way round; the signs of the two sines are swapped": turned(x, -positions, max_period),
        "it pairs channel i with channel i + D/2; Moshi pairs neighbours, 2i with 2i + 1": (
            turned(halves, positions, max_period).unflatten(-1, (-1, 2)).mT.flatten(-2)
        ),
        "its pairs turn too fast: the exponent is 2i / D for pair i, where you have i / D": (
            turned(x, positions, max_period**0.5)
        ),
    }


@exercise("02", hint="first' = first · cos − second · sin and second' = first · sin + second · cos, pair by pair.")
def rotate_pairs(answer: Any, generator: torch.Generator) -> str:
    """`answer(x [T, D], positions int [T], max_period) -> [T, D]`, without complex numbers."""
    for steps, dim, max_period in ((5, 8, 10_000.0), (7, 2, 100.0), (1, 16, 10_000.0)):
        x = torch.randn(steps, dim, generator=generator)
        positions = torch.randint(1, 60, (steps,), generator=generator)
        got, want = call(answer, x.clone(), positions, max_period), turned(x, positions, max_period)
        want_shape(got, (steps, dim), "[T, D]")
        for said, wrong in _mistaken(x, positions, max_period).items():
            if torch.allclose(got, wrong, atol=1e-4) and not torch.allclose(got, want, atol=1e-4):
                raise Wrong(f"value: {said}")
        want_close(got, want, f"the turned channel (width {dim}, max_period {max_period:g})", within=1e-3)
    q, k = torch.randn(2, 1, 8, generator=generator)
    here, far = (
        (call(answer, q, torch.tensor([at]), 10_000.0) * call(answer, k, torch.tensor([at - 7]), 10_000.0)).sum()
        for at in (9, 400)
    )
    want_close(far, here, "the score of two steps seven apart, moved by 391 steps,", within=1e-3)
    return "The same as the package's complex numbers, and only distances count."


@exercise("02", hint="per layer 4·D² for attention, 3·D·hidden for the gated feed-forward, 2·D for two norms.")
def parameters(answer: Any, generator: torch.Generator) -> str:
    """`answer(config) -> int`: how many numbers a HeliumModel of these sizes learns."""
    cases = [HeliumConfig(dim=8, layers=1, heads=2, hidden=12, text_card=10)]
    for _ in range(4):
        d, h, v = 4 * draw(generator, 2, 9), draw(generator, 5, 60), draw(generator, 20, 90)
        cases.append(HeliumConfig(dim=d, layers=draw(generator, 2, 5), heads=2, hidden=h, text_card=v))
    for config in [*cases, HeliumConfig.preset("full")]:
        with torch.device("meta"):
            want = sum(p.numel() for p in HeliumModel(config).parameters())
        got = call(answer, config)
        if isinstance(got, (int, float)) and got != want:
            d, n, h = config.dim, config.layers, config.hidden
            missing = {
                d * h * n: "the feed-forward has three matrices D × hidden: gate, value, and the way back",
                d: "the table has one row more, for the initial token; or else the last norm is missing",
                2 * d: "the row of the initial token and the last norm are missing",
                2 * d * n: "every layer has two norms with a gain per channel",
                2 * d * n + d: "every layer has two norms, and there is one after the last layer",
                d * config.text_card: "the head is a matrix of its own, not the table turned round",
            }
            reason = missing.get(int(want - got), "")
            raise Wrong(
                f"value: {got:,} for dim {d}, {n} layers, hidden {h}, text_card {config.text_card}, expected {want:,}"
                + (f": {reason}" if reason else "")
            )
        want_equal(got, want, "the number of parameters")
    return f"Helium at the size of the paper: {want:,} parameters."
