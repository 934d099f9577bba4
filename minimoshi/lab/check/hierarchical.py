"""Checks of notebook 08, hierarchical generation."""

import math
from typing import Any

import torch
from torch import Tensor

from ...config import DepthConfig, MoshiConfig
from ...moshi import DepthTransformer
from .core import Wrong, call, describe, exercise, untouched, want_shape
from .sound import draw


def small_depth(levels: int = 5) -> DepthTransformer:
    """A depth transformer of random weights, small enough to ask often."""
    config = DepthConfig(dim=16, layers=2, heads=2, hidden=24, input_dim=12, dep_q=levels, card=20, text_card=20)
    return DepthTransformer(config).requires_grad_(False)


def likeliest(logits: Tensor) -> Tensor:
    return logits.argmax(-1)


def frame_by_hand(depth: DepthTransformer, z: Tensor, text: Tensor, state: Any, draw: Any) -> Tensor:
    """What `say_frame` should give."""
    state.rewind()
    added, token, codes = depth.project(z), text, []
    for k in range(depth.config.dep_q):
        token = draw(depth.step(k, added, token, state))
        codes.append(token)
    return torch.stack(codes, dim=1)


@exercise("08", hint="rewind the state, token = text; for k in range(dep_q): token = draw(depth.step(k, …)); collect.")
def say_frame(answer: Any, generator: torch.Generator) -> str:
    """`answer(depth, z [B, D], text [B], state, draw) -> codes [B, dep_q]`: one frame, code after code."""
    for batch, levels in ((1, 5), (3, 4), (2, 1)):
        depth = small_depth(levels)
        mine, theirs = depth.initial_state(batch), depth.initial_state(batch)
        for frame in range(3):
            z = 3 * torch.randn(batch, 12, generator=generator)
            text = torch.randint(0, 20, (batch,), generator=generator)
            want = frame_by_hand(depth, z, text, mine, likeliest)
            got = _said(answer, depth, z, text, theirs, frame)
            want_shape(got, (batch, levels), "[B, dep_q]", "the codes of a frame")
            if got.dtype != torch.int64:
                raise Wrong(f"value: codes are whole numbers, got {describe(got)}")
            _compare(got, want, depth, z, text)
    return "Eight decisions, each aware of those before it; and the next frame begins afresh."


def _said(answer: Any, depth: DepthTransformer, z: Tensor, text: Tensor, state: Any, frame: int) -> Tensor:
    try:
        return call(answer, depth, z, text, state, likeliest)
    except Wrong as fault:
        if frame and "there are weights for" in str(fault):
            raise Wrong(
                f"value: the first frame is right, but in the next one {fault}: the state goes on where the last frame "
                "ended; `state.rewind()` comes first"
            ) from None
        raise


def _compare(got: Tensor, want: Tensor, depth: DepthTransformer, z: Tensor, text: Tensor) -> None:
    if torch.equal(got, want):
        return
    state, added = depth.initial_state(len(z)), depth.project(z)
    deaf = [likeliest(depth.step(k, added, text, state)) for k in range(depth.config.dep_q)]
    if torch.equal(got, torch.stack(deaf, dim=1)):
        raise Wrong("value: every step was told the text token; step k is told the code that step k - 1 has drawn")
    row, level = (int(i) for i in (got != want).nonzero()[0])
    raise Wrong(f"value: row {row}: code {level} is {int(got[row, level])}, expected {int(want[row, level])}")


def step_work(dim: int, layers: int, hidden: int, context: int) -> int:
    """FLOPs of one step: 4·D² for attention, 3·D·hidden for the gate, and the products with keys and values."""
    return 2 * layers * (4 * dim**2 + 3 * dim * hidden + 2 * context * dim)


def works(config: MoshiConfig) -> tuple[int, int]:
    """FLOPs per frame of Moshi's codes, flattened into one transformer and split into temporal and depth."""
    helium, depth, q = config.helium, config.depth, config.dep_q
    flat = q * step_work(helium.dim, helium.layers, helium.hidden, q * helium.context)
    temporal = step_work(helium.dim, helium.layers, helium.hidden, helium.context)
    return flat, temporal + q * step_work(depth.dim, depth.layers, depth.hidden, q)


@exercise("08", hint="flattened: dep_q steps per frame, each looking back over dep_q times as many positions.")
def frame_work(answer: Any, generator: torch.Generator) -> str:
    """`answer(config: MoshiConfig) -> (flattened, hierarchical)`: FLOPs per frame of the transformers' layers."""
    configs = [MoshiConfig.preset("full"), MoshiConfig.preset("small")]
    changed = MoshiConfig.preset("tiny")
    helium = changed.helium.replace(layers=draw(generator, 2, 9), context=draw(generator, 50, 400))
    configs.append(changed.replace(helium=helium))
    for config in configs:
        result = call(answer, config)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Wrong(f"shape: return two numbers, flattened and hierarchical, got {describe(result)}")
        untouched(result)
        for got, want, name in zip(result, works(config), ("flattened", "hierarchical"), strict=True):
            got = got.item() if isinstance(got, Tensor) else got
            if not isinstance(got, (int, float)) or isinstance(got, bool):
                raise Wrong(f"the {name} work should be a number, got {describe(got)}")
            if not math.isclose(got, want, rel_tol=1e-6):
                raise Wrong(f"value: the {name} work is {got:.4g}, expected {want:.4g}{_why(got, want, config, name)}")
    flat, split = works(configs[0])
    return f"At full size the two-level model does {flat / split:.0f} times less."


def _why(got: float, want: float, config: MoshiConfig, name: str) -> str:
    helium, depth, q = config.helium, config.depth, config.dep_q
    step = step_work(helium.dim, helium.layers, helium.hidden, helium.context)
    inner = step_work(depth.dim, depth.layers, depth.hidden, q)
    known = {
        "multiply and add count as two": want / 2,
        "a flattened past of the same seconds is dep_q times as many positions": q * step,
        "only one of the depth transformer's dep_q steps": step + inner,
        "this is one step of a flattened frame": want / q,
        "that is the other one; flattened comes first": sum(works(config)) - want,
        "the depth transformer looks back over dep_q steps, not over the conversation": step
        + q * step_work(depth.dim, depth.layers, depth.hidden, helium.context),
    }
    reasons = [reason for reason, value in known.items() if math.isclose(got, value, rel_tol=1e-6)]
    return f": {reasons[0]}" if reasons else ""


def entropy(chances: Tensor) -> float:
    """Bits of a distribution [...]; impossible outcomes cost nothing."""
    some = chances[chances > 0]
    return float(-(some * some.log2()).sum())


def joints(generator: torch.Generator) -> list[tuple[str, Tensor]]:
    """(name, chances [V, V] of two codes a and b)."""
    some = torch.rand(5, 5, generator=generator) ** 3
    alone = torch.rand(4, generator=generator) + 0.1
    return [
        ("two codes that must be equal", torch.eye(4) / 4),
        ("two fair coins", torch.full((2, 2), 0.25)),
        ("some joint", some / some.sum()),
        ("a one-sided joint, where b follows from a", torch.tensor([[0.25, 0.0], [0.25, 0.0], [0.0, 0.5]])),
        ("two independent codes", torch.outer(alone, alone.flip(0)) / alone.sum() ** 2),
    ]


@exercise("08", hint="H(b | a) = H(a, b) - H(a); leave out cells of chance 0 before you take the logarithm.")
def pair_bits(answer: Any, generator: torch.Generator) -> str:
    """`answer(joint [Va, Vb]) -> {"parallel": …, "a first": (…, …), "b first": (…, …)}`, in bits per frame."""
    for name, joint in joints(generator):
        result = call(answer, joint.clone())
        if not isinstance(result, dict) or set(result) != {"parallel", "a first", "b first"}:
            raise Wrong('expected a dictionary with the keys "parallel", "a first", "b first"')
        untouched(tuple(result.values()))
        a, b, both = entropy(joint.sum(1)), entropy(joint.sum(0)), entropy(joint)
        _want_bits(result["parallel"], a + b, f"“parallel” for {name}")
        for order, first, other in (("a first", a, b), ("b first", b, a)):
            pair = result[order]
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise Wrong(f"“{order}” should be two numbers, first and second step, got {describe(pair)}")
            untouched(pair)
            _want_bits(pair[0], first, f"the first step of “{order}” for {name}", other)
            _want_bits(pair[1], both - first, f"the second step of “{order}” for {name}")
    return "The order moves bits from one step to the other; the sum it leaves alone. Only parallel heads pay twice."


def _want_bits(got: Any, want: float, what: str, other: float | None = None) -> None:
    """`other`: what it is if a and b, the two axes of the joint, were taken for each other."""
    got = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
    if not isinstance(got, (int, float)):
        raise Wrong(f"{what} should be a number, got {describe(got)}")
    if math.isnan(got):
        raise Wrong(f"value: {what} is NaN: 0 · log 0; leave out the cells of chance 0")
    if math.isclose(got, want * math.log(2), abs_tol=1e-4) and want > 0.01:
        raise Wrong(f"value: {what} is {got:.4f}, in nats; bits want log2")
    if abs(got - want) > 1e-4:
        swapped = other is not None and abs(got - other) < 1e-4
        why = "; that is the other code: a lies along the rows, its chances are `joint.sum(1)`" if swapped else ""
        raise Wrong(f"value: {what} is {got:.4f} bits, expected {want:.4f}{why}")
