"""Checks of notebook 11, training and evaluation."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .core import NotTried, Wrong, call, describe, exercise
from .sound import draw

FAULTS = ("healthy", "frozen", "rate too high", "by heart", "leak")


def number(got: Any, what: str) -> float:
    """`got` as a float; Wrong where it is no number."""
    if got is Ellipsis:
        raise NotTried
    got = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
    if not isinstance(got, (int, float)) or isinstance(got, bool):
        raise Wrong(f"shape: {what} should be one number, got {describe(got)}")
    if math.isnan(got):
        raise Wrong(f"value: {what} is NaN; is something divided by zero?")
    return float(got)


def loss_of(logits: Tensor, target: Tensor, weight: float) -> float:
    """What `weighted_loss` should give."""
    by_level = cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape).mean(1)
    weights = torch.ones(len(target))
    weights[0] = weight
    return float((by_level * weights).sum() / weights.sum())


@exercise("11", hint="one mean per codebook [Q]; weights (weight, 1, …, 1); divide by the sum of the weights.")
def weighted_loss(answer: Any, generator: torch.Generator) -> str:
    """`answer(logits [Q, N, V], target [Q, N], weight) -> number`: the audio loss, in nats."""
    for levels, weight in ((2, 1.0), (8, 100.0), (draw(generator, 3, 9), 1.0 + draw(generator, 2, 60))):
        logits = 2 * torch.randn(levels, 20, 12, generator=generator)
        target = torch.randint(0, 12, (levels, 20), generator=generator)
        got = number(call(answer, logits, target, weight), "the loss")
        want = loss_of(logits, target, weight)
        if math.isclose(got, want, rel_tol=1e-4):
            continue
        known = {
            "divide by the sum of the weights, not by their number": want * (levels - 1 + weight) / levels,
            "the sum is not divided by the sum of the weights": want * (levels - 1 + weight),
            "every codebook weighs the same": loss_of(logits, target, 1.0),
            "the weight is on the last codebook; the semantic one is the first": loss_of(
                logits.flip(0), target.flip(0), weight
            ),
        }
        why = next((reason for reason, value in known.items() if math.isclose(got, value, rel_tol=1e-4)), "")
        raise Wrong(f"value: {got:.4f}, expected {want:.4f} with weight {weight:g}" + (f": {why}" if why else ""))
    return "With 100 among seven ones, the semantic codebook has 93 % of the weight."


def curves(fault: str, generator: torch.Generator) -> tuple[list[float], list[float], list[float]]:
    """(training loss, held-out loss, wrong tokens when it talks freely as a share): twelve points each."""
    x = torch.arange(12.0)
    wobble = 0.02 * torch.randn(3, 12, generator=generator)
    start = 2.0 + torch.rand(1, generator=generator)
    falls = start * (0.1 + 0.9 * torch.exp(-x / (1.5 + torch.rand(1, generator=generator))))
    train, held, free = falls, falls + 0.1, (falls / 3).clamp(max=0.95)
    if fault == "frozen":
        train, held, free = (start.expand(12), start.expand(12), torch.full((12,), 0.9))
    elif fault == "rate too high":
        train = start + (x - 2).clamp(min=0) * (0.2 + torch.rand(1, generator=generator))
        held, free = train + 0.1, torch.full((12,), 0.9)
    elif fault == "by heart":
        held = torch.where(x < 4, falls, falls[4] + 0.15 * (x - 4))
        free = (held / 3).clamp(max=0.95)
    elif fault == "leak":
        free = torch.full((12,), 0.85)
    return tuple((row + noise).clamp(min=0.01).tolist() for row, noise in zip((train, held, free), wobble, strict=True))


@exercise("11", hint="does training move? does it rise? does held-out rise again? does talking improve? In this order.")
def diagnose(answer: Any, generator: torch.Generator) -> str:
    """`answer(train, held_out, free) -> one of FAULTS`, each a list of twelve numbers."""
    for _ in range(4):
        for place in torch.randperm(len(FAULTS), generator=generator).tolist():
            fault = FAULTS[place]
            got = call(answer, *curves(fault, generator))
            if got is Ellipsis:
                raise NotTried
            if got not in FAULTS:
                raise Wrong(f"shape: expected one of {', '.join(FAULTS)}, got {describe(got)}")
            if got != fault:
                raise Wrong(f"value: curves of the fault “{fault}” were taken for “{got}”: {_LOOKS[fault]}")
    return "Three curves tell five stories; the loss alone tells two."


_LOOKS = {
    "healthy": "all three fall, and stay down",
    "frozen": "the training loss ends where it began, give or take its noise",
    "rate too high": "the training loss ends well above its start",
    "by heart": "training falls while held-out ends clearly above its own lowest point",
    "leak": "both losses fall, and what it says when it talks freely is as wrong as at the start",
}


def activities(generator: torch.Generator, windows: int) -> tuple[Tensor, Tensor]:
    """Two voices, bool [windows] each, that speak and pause in stretches."""

    def voice() -> Tensor:
        parts, speaking = [], bool(draw(generator, 0, 2))
        while sum(map(len, parts)) < windows:
            parts.append(torch.full((draw(generator, 5, 60),), speaking))
            speaking = not speaking
        return torch.cat(parts)[:windows]

    return voice(), voice()


@exercise("11", hint="`moshi & user` is both at once, `moshi | user` is anybody; nobody speaking is no overlap.")
def overlap_share(answer: Any, generator: torch.Generator) -> str:
    """`answer(moshi [N], user [N]) -> number`: of the windows in which anybody speaks, the share in which both do."""
    silent = torch.zeros(30, dtype=torch.bool)
    talks = [activities(generator, draw(generator, 200, 500)) for _ in range(4)]
    for moshi, user in [*talks, (~silent, silent), (~silent, ~silent), (silent, silent)]:
        both, some = int((moshi & user).sum()), int((moshi | user).sum())
        try:
            got = number(call(answer, moshi.clone(), user.clone()), "the share")
        except Wrong as fault:
            if not some and ("division" in str(fault) or "NaN" in str(fault)):
                raise Wrong("value: nobody speaks here, and something is divided by zero; nobody overlaps: 0") from None
            raise
        want = both / some if some else 0.0
        if abs(got - want) > 1e-6:
            known = {
                "this is a share of all windows; silence of both should not count": both / len(moshi),
                "this is a share of Moshi's windows; it should not depend on who is who": both
                / max(1, int(moshi.sum())),
                "this is a count; divide": float(both),
                "a share is between 0 and 1, not a percentage": 100 * want,
            }
            why = next((reason for reason, value in known.items() if abs(got - value) < 1e-6), "")
            raise Wrong(f"value: {got:.4f}, expected {want:.4f}" + (f": {why}" if why else ""))
    return "The same whoever is called Moshi, never above 1, and 0 where nobody speaks."
