"""Checks of notebook 03, streaming."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from .core import Wrong, call, exercise, untouched, want_close, want_equal, want_shape


def random_split(x: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Pieces of 1 to 5 numbers."""
    lengths: list[int] = []
    while sum(lengths) < len(x):
        length = int(torch.randint(1, 6, (1,), generator=generator))
        lengths.append(min(length, len(x) - sum(lengths)))
    return list(x.split(lengths))


@exercise(
    "03",
    hint="join past and x, convolve without padding, and keep the end of what was joined, not the end of x.",
)
def conv_step(answer: Any, generator: torch.Generator) -> str:
    """`answer(x [n], weights [k], past [(k-1)·dilation], dilation) -> (y [n], new past)`."""
    for kernel, dilation in ((3, 1), (4, 2), (2, 3), (1, 1)):
        weights, x = torch.randn(kernel, generator=generator), torch.randn(40, generator=generator)
        memory = (kernel - 1) * dilation
        want = conv1d(pad(x, (memory, 0))[None, None], weights[None, None], dilation=dilation)[0, 0]
        past, seen = torch.zeros(memory), 0
        case = f"(kernel {kernel}, dilation {dilation})"
        for piece in random_split(x, generator):
            result = call(answer, piece, weights, past, dilation)
            if not isinstance(result, tuple) or len(result) != 2:
                raise Wrong("shape: return two things, the outputs and the new past")
            y, past = result
            want_shape(y, (len(piece),), "[n]", f"the outputs {case}")
            if memory == 0 and isinstance(past, Tensor) and past.numel():
                raise Wrong(
                    f"shape: the new past {case} holds {past.numel()} samples. With one weight the memory is empty, "
                    "and [-0:] is everything: cut with joined[len(joined) - len(past):]."
                )
            want_shape(past, (memory,), "[(k-1)·dilation]", f"the new past {case}")
            want_close(y, want[seen : seen + len(piece)], f"the outputs from sample {seen} on {case}")
            seen += len(piece)
    return "The law of chunks holds, even for chunks shorter than the memory."


@exercise("03", hint="x[1:] is the stream one step early; the last output has no next input: add a zero.")
def peek(answer: Any, generator: torch.Generator) -> str:
    """`answer(x [S]) -> [S]`: every output depends on the next input, none on later ones; the last is 0."""
    x = torch.randn(8, generator=generator)
    got = call(answer, x)
    want_shape(got, (8,), "[S]")
    moved = influence(answer, x)
    for t in range(7):
        if not moved[t, t + 1]:
            raise Wrong(f"value: output {t} does not notice a change of input {t + 1}")
        if moved[t, t + 2 :].any():
            raise Wrong(f"value: output {t} depends on an input after {t + 1}")
    want_equal(float(got[-1]), 0.0, "the last output, which has no next input,")
    return "One step into the future, no more: the smallest leak there is."


def influence(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """bool [output, input]: where a change of this input moves this output."""
    rows = torch.eye(len(x))
    return torch.stack([call(module, x + 5 * rows[i]) != call(module, x) for i in range(len(x))], dim=1)


def suspects() -> list[tuple[str, bool, Callable[[Tensor], Tensor]]]:
    """(name, is it causal, module) of things an `is_causal` has to tell apart."""
    kernel = torch.tensor([[[1.0, 2.0, 3.0]]])

    def running_mean(x: Tensor) -> Tensor:
        return x.cumsum(0) / torch.arange(1, len(x) + 1)

    def far_sighted(x: Tensor) -> Tensor:
        return x + 0.01 * pad(x, (0, 5))[5:]

    def only_when_loud(x: Tensor) -> Tensor:
        return torch.where(pad(x, (0, 1))[1:] > 50, 2 * x, x)  # set to 100 or raised by 100: both are loud

    return [
        ("a causal convolution", True, lambda x: conv1d(pad(x, (2, 0))[None, None], kernel)[0, 0]),
        ("a delay", True, lambda x: pad(x, (3, 0))[: len(x)]),
        ("a running mean", True, running_mean),
        ("a centred convolution", False, lambda x: conv1d(pad(x, (1, 1))[None, None], kernel)[0, 0]),
        ("time turned round", False, lambda x: x.flip(0)),
        ("division by the loudest", False, lambda x: x / (x.abs().max() + 1e-6)),
        ("a faint look five steps ahead", False, far_sighted),
        ("a look ahead only at loud inputs", False, only_when_loud),
    ]


@exercise("03", hint="try every t, and disturb the future strongly and in both directions.")
def is_causal(answer: Any, generator: torch.Generator) -> str:
    """`answer(module, n) -> bool`."""
    found = 0
    for name, causal, module in suspects():
        got = call(answer, module, 12)
        want_equal(bool(got) if isinstance(got, Tensor) else got, causal, f"is_causal of {name}")
        found += not causal
    return f"All {found} leaks caught, and nobody innocent accused."


@exercise("03", hint="write into slot steps % context, then give back the slots that are filled.")
def window_cache(answer: Any, generator: torch.Generator) -> str:
    """A class `answer(context, dim)` with `push(k [D], v [D]) -> (keys [n, D], values [n, D])`."""
    context, dim, steps = 5, 4, 23
    cache = call(answer, context, dim)
    k, v, q = torch.randn(3, steps, dim, generator=generator)
    for p in range(steps):
        result = call(cache.push, k[p], v[p])
        if not isinstance(result, tuple) or len(result) != 2:
            raise Wrong("shape: push should return two things, keys and values")
        untouched(result)
        first = max(0, p + 1 - context)
        for got, name in zip(result, ("keys", "values"), strict=True):
            want_shape(got, (p + 1 - first, dim), "[n, D]", f"the {name} after {p + 1} steps")
        want = (q[p] @ k[first : p + 1].T).softmax(-1) @ v[first : p + 1]
        want_close((q[p] @ result[0].T).softmax(-1) @ result[1], want, f"attention at step {p}")
    for name, value in vars(cache).items():
        held = len(value) if isinstance(value, (list, tuple, dict)) else 0
        if isinstance(value, Tensor):
            held = value.numel() // dim
        if held > context:
            raise Wrong(f"memory: `{name}` holds {held} steps after {steps}; {context} is all there may be")
    return f"{steps} steps through a ring of {context}, and the memory never grew."
