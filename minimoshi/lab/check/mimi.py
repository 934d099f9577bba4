"""Checks of notebook 06, Mimi."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, pad

from .core import NotTried, Wrong, call, describe, exercise, want_equal, want_shape

FRAME = 1920


@exercise("06", hint="(guess * teacher).sum(-1) over both lengths, guess.norm(dim=-1) * teacher.norm(dim=-1).")
def distillation_loss(answer: Any, generator: torch.Generator) -> str:
    """`answer(guess [N, D], teacher [N, D]) -> scalar`: one minus the cosine, averaged over the frames."""
    for frames, width in ((40, 8), (7, 33), (1, 3)):
        guess, teacher = torch.randn(2, frames, width, generator=generator)
        guess = (guess * (0.1 + 5 * torch.rand(frames, 1, generator=generator))).requires_grad_(True)
        cosine = cosine_similarity(guess.detach(), teacher)
        got = call(answer, guess, teacher)
        if not isinstance(got, Tensor):
            raise Wrong(f"shape: the loss should be a tensor with one number, got {describe(got)}")
        want_shape(got, (), "[], one number,", "the loss")
        close_loss(float(got.detach()), cosine, guess.detach(), teacher)
        if not got.requires_grad:
            raise Wrong("value: the loss has lost its gradient (detach, item or no_grad?): nobody can learn from it")
    return "0 where both point the same way, 1 where they know nothing of each other, and no length matters."


def close_loss(got: float, cosine: Tensor, guess: Tensor, teacher: Tensor) -> None:
    """Wrong, with the reason where it is a known one."""
    want = float(1 - cosine.mean())
    if abs(got - want) <= 1e-4:
        return
    known = {
        "this is the cosine itself; a loss is small where all is well": float(cosine.mean()),
        "the sum over the frames; take the mean": float((1 - cosine).sum()),
        "one angle for the whole tensor; every frame has its own": float(
            1 - cosine_similarity(guess.flatten(), teacher.flatten(), dim=0)
        ),
        "this depends on how long the vectors are; divide by both lengths": float(1 - (guess * teacher).sum(-1).mean()),
    }
    for reason, value in known.items():
        if abs(got - value) <= 1e-4:
            raise Wrong(f"value: {reason}")
    raise Wrong(f"value: the loss is {got:.4g}, expected {want:.4g}")


WITHOUT = {
    "phones": ("falls", "look at the first chart: nobody asks for phones any more"),
    "voices": ("rises", "look at the second chart: left alone, the first level spends itself on the voice"),
    "lost": ("falls", "look at the third chart: nothing pulls the first level away from the sound any more"),
    "look-ahead": ("stays", "the encoder is causal by construction, with or without a teacher"),
}


@exercise("06", hint="compare the first two bars, “split, distilled” and “split, no teacher”, in each chart.")
def without_distillation(answer: Any, generator: torch.Generator) -> str:
    """`{"phones": …, "voices": …, "lost": …, "look-ahead": …}`, each "falls", "rises" or "stays"."""
    if not isinstance(answer, dict) or set(answer) != set(WITHOUT):
        raise Wrong(f"expected a dictionary with the keys {', '.join(WITHOUT)}")
    if all(given is Ellipsis for given in answer.values()):
        raise NotTried
    missing = [name for name, given in answer.items() if given is Ellipsis]
    faults = [
        f"{name}: {reason}"
        for name, (right, reason) in WITHOUT.items()
        if answer[name] is not Ellipsis and str(answer[name]).strip().lower() != right
    ]
    if missing:
        faults.append(f"not answered: {', '.join(missing)}")
    if faults:
        raise Wrong("; ".join(faults))
    return "Meaning goes, the voice comes in, the sound gains a little, and causality was never at stake."


Encode = Callable[[Tensor], Tensor]


def encoders(weights: Tensor) -> list[tuple[str, int, Encode]]:
    """(name, frames of look-ahead, encoder [S] -> [S / 1920]); tokens that notice any change of what they hear."""

    def frames(wav: Tensor) -> Tensor:
        return wav.double().view(-1, FRAME) @ weights.double()

    def number(values: Tensor) -> Tensor:
        return (1e6 * values).round().to(torch.int64)

    def ahead(n: int) -> Encode:
        return lambda wav: number(frames(wav) + 0.5 * pad(frames(wav), (0, n))[n:])

    def every_other(wav: Tensor) -> Tensor:
        values = frames(wav)
        future = pad(values, (0, 1))[1:] * (torch.arange(len(values)) % 2 == 0)
        return number(values + future)

    return [
        ("a causal codec", 0, lambda wav: number(frames(wav).cumsum(0))),
        ("a codec of single frames", 0, lambda wav: number(frames(wav))),
        ("a codec that waits for the next frame", 1, ahead(1)),
        ("a codec that looks ahead at even frames only", 1, every_other),
        ("a codec that waits for three frames", 3, ahead(3)),
    ]


@exercise(
    "06", hint="for every t: change all samples from 1920 · t on; the earliest token that differs is t - look-ahead."
)
def look_ahead(answer: Any, generator: torch.Generator) -> str:
    """`answer(encode, n_frames) -> int`: by how many frames `encode` looks ahead."""
    for name, want, encode in encoders(torch.randn(FRAME, generator=generator)):
        got = call(answer, encode, 12)
        want_equal(got, want, f"the look-ahead of {name}")
    return "Five codecs measured from outside, even the one that peeks at every other frame only."


@exercise(
    "06", hint="the frame itself, then so many frames of future, then so many frames of delay: count, then multiply."
)
def latency_ms(answer: Any, generator: torch.Generator) -> str:
    """`answer(frame_ms, look_ahead, delay) -> number`: ms from the start of a frame until its last token is known."""
    for frame, ahead, delay in ((80, 0, 0), (80, 0, 1), (80, 1, 0), (20, 4, 0), (40, 2, 3)):
        got = call(answer, frame, ahead, delay)
        got = got.item() if isinstance(got, Tensor) else got
        if not isinstance(got, (int, float)) or isinstance(got, bool):
            raise Wrong(f"latency_ms({frame}, {ahead}, {delay}) should be a number, got {describe(got)}")
        want = frame * (1 + ahead + delay)
        if ahead == delay == 0 and got == 0:
            raise Wrong(
                f"value: latency_ms({frame}, {ahead}, {delay}) is {got:g}: the frame itself is missing, and it must be "
                f"spoken before anything can be coded; expected {want}"
            )
        if got != want:
            raise Wrong(f"value: latency_ms({frame}, {ahead}, {delay}) is {got:g}, expected {want}")
    return "Mimi: 80 ms. Moshi, with its acoustic delay of one frame: 160 ms."


@exercise("06", hint="frames = the smaller of the two last sizes; what[:, :1, :frames] over how[:, 1:, :frames].")
def swap_rows(answer: Any, generator: torch.Generator) -> str:
    """`answer(what [B, Q, F], how [B, Q, G]) -> [B, Q, min(F, G)]`: the semantic row of one, the rest of the other."""
    for batch, levels, first, second in ((1, 8, 20, 26), (2, 8, 9, 5), (1, 4, 7, 7), (1, 8, 1, 3)):
        what = torch.randint(0, 2048, (batch, levels, first), generator=generator)
        how = torch.randint(0, 2048, (batch, levels, second), generator=generator)
        given, frames = (what.clone(), how.clone()), min(first, second)
        got = call(answer, what, how)
        want_shape(got, (batch, levels, frames), "[B, Q, F]", "the swapped grid")
        if not (torch.equal(what, given[0]) and torch.equal(how, given[1])):
            raise Wrong("value: one of the two grids you were given has changed; make a new one (torch.cat, clone)")
        got = torch.as_tensor(got)
        if torch.equal(got[:, :1], how[:, :1, :frames]) and torch.equal(got[:, 1:], what[:, 1:, :frames]):
            raise Wrong("value: the other way round: the semantic row is to come from the first grid")
        for row in range(levels):
            want = (what if row == 0 else how)[:, row, :frames]
            if not torch.equal(got[:, row], want):
                raise Wrong(f"value: row {row} is not that of {'the first' if row == 0 else 'the second'} grid")
    return "One row of meaning from here, the rest of the sound from there."
