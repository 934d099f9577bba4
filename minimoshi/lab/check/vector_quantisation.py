"""Checks of notebook 05, from one codebook to residual levels."""

from typing import Any

import torch
from torch import Tensor

from ...mimi.quantizer import ResidualVectorQuantizer
from .core import Wrong, call, describe, exercise, untouched, want_close, want_shape


def squared_distances(points: Tensor, codes: Tensor) -> Tensor:
    """[N, V]"""
    return (points[:, None] - codes[None]).square().sum(-1)


@exercise(
    "05",
    hint="points[:, None] is [N, 1, d], codes[None] is [1, V, d], their difference [N, V, d]; then sum and argmin.",
)
def nearest_code(answer: Any, generator: torch.Generator) -> str:
    """`answer(points [N, d], codes [V, d]) -> int64 [N]`: the number of the code nearest to each point."""
    for n, size, width in ((40, 12, 8), (7, 5, 3), (1, 4, 2), (6, 1, 3)):
        points = torch.randn(n, width, generator=generator)
        codes = torch.randn(size, width, generator=generator) * (1 + 2 * torch.rand(size, 1, generator=generator))
        got = call(answer, points, codes)
        want_shape(got, (n,), "[N]", f"the answer for {n} points and {size} codes")
        numbered(got, size)
        right_numbers(torch.as_tensor(got), points, codes)
    quantizer = ResidualVectorQuantizer(dim=6, n_quantizers=4, codebook_size=16, codebook_dim=6)
    quantizer.set_centroids(0, torch.randn(16, 6, generator=generator))
    residual = torch.randn(30, 6, generator=generator)
    want = quantizer.quantize(residual[None])[0]
    for level, codes in enumerate(quantizer.centroids):
        got = torch.as_tensor(call(answer, residual, codes))
        if not torch.equal(got, want[level]):
            raise Wrong(f"value: level {level} of a ResidualVectorQuantizer names other codes than you")
        residual = residual - codes[got]
    return "The nearest code every time, and the same codes as ResidualVectorQuantizer on all its levels."


def numbered(got: Any, size: int) -> None:
    numbers = torch.as_tensor(got)
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise Wrong(f"value: codes are whole numbers, got {describe(got)}; argmin gives whole numbers")
    if numbers.min() < 0 or numbers.max() >= size:
        low, high = int(numbers.min()), int(numbers.max())
        raise Wrong(f"value: with {size} codes the numbers are 0 to {size - 1}, got {low} to {high}")


def right_numbers(got: Tensor, points: Tensor, codes: Tensor) -> None:
    distances = squared_distances(points, codes)
    want = distances.argmin(1)
    if torch.equal(got, want):
        return
    absolute = (points[:, None] - codes[None]).abs().sum(-1)
    known = {
        "these are the codes farthest away": distances.argmax(1),
        "these are nearest by the sum of absolute differences; square them": absolute.argmin(1),
        "these have the largest product with the point, so long codes win; |c|² is missing": (points @ codes.T).argmax(
            1
        ),
    }
    for name, wrong in known.items():
        if torch.equal(got, wrong):
            raise Wrong(f"value: {name}")
    i = int((got != want).nonzero()[0])
    mine, best = int(got[i]), int(want[i])
    raise Wrong(
        f"value: point {i} was given code {mine} (squared distance {distances[i, mine]:.3g}), "
        f"but code {best} is nearer ({distances[i, best]:.3g})"
    )


def batch(generator: torch.Generator, size: int = 6, n: int = 40, width: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """points [N, d], codes [V, d], owner [N]; the last code is chosen by nobody."""
    points = torch.randn(n, width, generator=generator)
    codes = torch.randn(size, width, generator=generator)
    codes[-1] = 100.0
    return points, codes, squared_distances(points, codes).argmin(1)


def two_results(result: Any, names: str) -> None:
    if not isinstance(result, tuple) or len(result) != 2:
        raise Wrong(f"shape: return two things, {names}; got {describe(result)}")
    untouched(result)


@exercise(
    "05",
    hint="a code c that n of N points chose has the gradient 2 · (n · c - the sum of these points) / N.",
)
def gradient_step(answer: Any, generator: torch.Generator) -> str:
    """`answer(points [N, d], owner [N], codes [V, d], rate) -> codes [V, d]`: a step down the mean square distance."""
    for rate in (0.3, 2.0):
        points, codes, owner = batch(generator)
        with torch.enable_grad():
            leaf = codes.clone().requires_grad_()
            (points - leaf[owner]).square().sum(1).mean().backward()
        slope = leaf.grad
        got = call(answer, points, owner, codes.clone(), rate)
        want_shape(got, tuple(codes.shape), "[V, d]", "the new codes")
        moved = torch.as_tensor(got).detach() - codes
        known = {
            "the codes walked uphill; subtract the gradient": 1.0,
            "every step is half as long as it should be: the square has a factor 2": -0.5,
            f"the steps are {len(points)} times too long: take the mean over the points, not the sum": -len(points),
        }
        for name, factor in known.items():
            if torch.allclose(moved, factor * rate * slope, atol=1e-4):
                raise Wrong(f"value: {name}")
        want_close(torch.as_tensor(got).detach(), codes - rate * slope, "the new codes")
    return "What autograd finds, without autograd: far for a code that many chose, not at all for one that none did."


@exercise(
    "05",
    hint="averages: new weight (1 - decay) · n beside old weight decay · usage; gradient: use the formula of the step.",
)
def shares_of_the_way(answer: Any, generator: torch.Generator) -> str:
    """`answer(n, batch, usage, decay, rate) -> (by averages, by gradient)`: how far towards the mean of its points."""
    cases = [(2, 128, 2.0, 0.95, 3.0), (0, 128, 2.0, 0.95, 3.0), (64, 128, 2.0, 0.95, 3.0), (5, 5, 1.0, 0.5, 0.5)]
    for n, batch_size, usage, decay, rate in cases:
        given = f"shares_of_the_way({n}, {batch_size}, {usage:g}, {decay:g}, {rate:g})"
        result = call(answer, n, batch_size, usage, decay, rate)
        two_results(result, "the share by averages and the share by gradient")
        fresh = (1 - decay) * n
        wanted = (fresh / (decay * usage + fresh), 2 * rate * n / batch_size)
        for got, want, name in zip(result, wanted, ("averages", "gradient"), strict=True):
            got = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
            if not isinstance(got, (int, float)):
                raise Wrong(f"{given} should be two numbers, got {describe(got)}")
            if abs(got - want) > 1e-4:
                raise Wrong(f"value: {given} by {name} is {got:.4g}, expected {want:.4g}")
    return "An average never overshoots. A gradient beyond 2 lands farther off than it began, each time: it explodes."


@exercise(
    "05",
    hint="places = total / usage[:, None]; for each dead code: busiest = usage.argmax(), halve, copy, add its nudge.",
)
def split_busiest(answer: Any, generator: torch.Generator) -> str:
    """`answer(usage [V], total [V, d], below, nudge [V, d]) -> (usage, total)`: each dead code halves the busiest."""
    for below, dead in ((0.1, [1, 4, 8]), (0.3, [0]), (0.1, [])):
        usage = 8 + 8 * torch.rand(10, generator=generator)
        usage[dead] *= 0.02 * below / 0.1
        usage[6] = 1.5 * below * usage.mean()  # little used, and alive
        places, nudge = torch.randn(2, 10, 3, generator=generator)
        total = places * usage[:, None]
        result = call(answer, usage.clone(), total.clone(), below, nudge.clone())
        two_results(result, "usage and total")
        want_shape(result[0], (10,), "[V]", "usage")
        want_shape(result[1], (10, 3), "[V, d]", "total")
        judge_split(torch.as_tensor(result[0]), torch.as_tensor(result[1]), usage, places, dead, nudge)
    return "The dead live next door to the busiest, and share their work."


def split_by_hand(usage: Tensor, dead: list[int]) -> tuple[Tensor, dict[int, int]]:
    """The usage afterwards, and beside which code each dead one settles."""
    usage, beside = usage.clone(), {}
    for code in dead:
        beside[code] = int(usage.argmax())
        usage[[code, beside[code]]] = usage[beside[code]] / 2
    return usage, beside


def judge_split(
    new_usage: Tensor, new_total: Tensor, usage: Tensor, places: Tensor, dead: list[int], nudge: Tensor
) -> None:
    """Raise Wrong unless exactly the codes `dead` settled beside the busiest, one after the other."""
    want_usage, beside = split_by_hand(usage, dead)
    for code in range(len(usage)):
        if code not in dead and code not in beside.values() and not torch.isclose(new_usage[code], usage[code]):
            share = usage[code] / usage.mean()
            raise Wrong(
                f"value: code {code} is used {share:.2f} times an even share: neither dead nor busiest, leave it"
            )
        if code in dead and torch.isclose(new_usage[code], usage[code]):
            raise Wrong(f"value: code {code} is dead (usage {usage[code]:.2g}, mean {usage.mean():.2g}) and still is")
    if len(dead) > 1 and torch.allclose(new_usage[dead], new_usage[dead[0]].expand(len(dead))):
        raise Wrong("value: all dead codes went to the same busy one; look for the busiest again after each split")
    want_close(new_usage, want_usage, "usage", within=1e-3)
    got = new_total / new_usage[:, None]
    for code, busy in beside.items():
        if torch.allclose(got[code], got[busy], atol=1e-5):
            raise Wrong(
                f"value: codes {code} and {busy} are at the same place, where one of them will starve; nudge it"
            )
        want_close(got[code], places[busy] + nudge[code], f"the place of code {code} (total / usage)", within=1e-3)
    alive = [code for code in range(len(usage)) if code not in dead]
    want_close(got[alive], places[alive], "the places of the living (total / usage)", within=1e-3)
