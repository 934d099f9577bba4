"""Checks of notebook 13, from mini to Moshi."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...config import DepthConfig, HeliumConfig, MoshiConfig
from ...moshi import HierarchicalGenerator
from ..official import outputs
from .core import Wrong, call, describe, exercise, untouched
from .sound import draw

KEYS = {
    "the text logits": "text_linear.weight",
    "q, k and v of temporal layer 7": "transformer.layers.7.self_attn.in_proj_weight",
    "z into the step that says the semantic code": "depformer_in.0.weight",
    "the norm before the feed-forward of depth layer 5": "depformer.layers.5.norm2.alpha",
    "the table that step 3 looks its code up in": "depformer_emb.2.weight",
}
NEAR = {  # wrong answers that one can understand, and why they are wrong
    "text_model.head.weight": "that is our name; the question is what the file calls it",
    "transformer.layers.7.self_attn.in_projs.0.weight": "that is its name in memory; in the file the projections are "
    "fused",
    "transformer.layers.6.self_attn.in_proj_weight": "layers count from 0, so layer 7 has the number 7",
    "depformer_in.1.weight": "the semantic code is said by step 0",
    "depformer.layers.5.norm1.alpha": "norm1 stands before the attention",
    "depformer.layers.5.norm2.weight": "an RMSNorm's tensor is called alpha there",
    "depformer_emb.3.weight": "step 3 is told the code of step 2, and step 0 has a table of its own",
}


@exercise("13", hint="find the line in the Rosetta table, then put the layer or the step into its name.")
def official_keys(answer: Any, generator: torch.Generator) -> str:
    """`answer`: a dictionary, what a tensor does -> its name in the official file."""
    if not isinstance(answer, dict):
        raise Wrong(f"expected a dictionary with five names, got {describe(answer)}")
    if set(answer) != set(KEYS):
        raise Wrong("the dictionary should have exactly the five questions as its keys")
    untouched(tuple(answer.values()))
    for question, want in KEYS.items():
        got = answer[question]
        if got != want:
            why = f": {NEAR[got]}" if isinstance(got, str) and got in NEAR else ""
            raise Wrong(f"value: “{question}” is not {got!r}{why}")
    return "Five out of five: you can read a checkpoint."


# ------------------------------------------------------------------------------------- the first difference


def small_generator(generator: torch.Generator) -> HierarchicalGenerator:
    """Random weights, two layers of each kind, square where a transposed matrix would pass unseen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(1000, (), generator=generator)))
        helium = HeliumConfig(dim=16, layers=2, heads=2, hidden=24, context=16, text_card=20)
        depth = DepthConfig(dim=8, layers=2, heads=2, hidden=12, input_dim=16, card=12, text_card=20)
        return HierarchicalGenerator(MoshiConfig(helium=helium, depth=depth, card=12)).requires_grad_(False)


def halves(weight: Tensor, heads: int) -> Tensor:
    """The rows of q and k as files have them whose rotary pairs are the two halves of a head; v stays."""
    q, k, v = weight.chunk(3)
    turned = [x.view(heads, -1, 2, x.shape[1]).transpose(1, 2).reshape(x.shape) for x in (q, k)]
    return torch.cat([*turned, v])


def faults() -> list[tuple[str, str, Callable[[HierarchicalGenerator], None]]]:
    """(what was planted, the first layer that shows it, how it is planted)."""

    def temporal(g: HierarchicalGenerator, layer: int) -> Any:
        return g.text_model.transformer.layers[layer]

    def transpose(g: HierarchicalGenerator) -> None:
        weight = temporal(g, 1).attention.out_proj.weight
        weight.copy_(weight.T.clone())

    def pairing(g: HierarchicalGenerator) -> None:
        weight = temporal(g, 0).attention.in_proj.weight
        weight.copy_(halves(weight, 2))

    def gate(g: HierarchicalGenerator) -> None:
        weight = temporal(g, 1).feed_forward.linear_in.weight
        weight.copy_(weight.roll(len(weight) // 2, 0))

    def steps(g: HierarchicalGenerator) -> None:
        weight = g.audio_model.transformer.layers[1].attention.in_proj.weight
        weight.copy_(weight.roll(1, 0))

    return [
        ("a transposed output projection", "text_model.transformer.layers.1.attention", transpose),
        ("rotary pairs of the wrong kind", "text_model.transformer.layers.0.attention", pairing),
        ("gate and value exchanged", "text_model.transformer.layers.1.feed_forward", gate),
        ("the depth transformer's sets moved by one", "audio_model.transformer.layers.1.attention", steps),
    ]


def layer_outputs(model: HierarchicalGenerator, codes: Tensor) -> dict[str, Tensor]:
    """Outputs of norms, attention, feed-forward and whole layers, in the order they run."""
    inside = (".norm1", ".attention", ".norm2", ".feed_forward", ".out_norm", ".head")
    names = [n for n, _ in model.named_modules() if n.endswith(inside) or n.split(".")[-1].isdigit()]
    return outputs(model, [n for n in names if "out_norms" not in n], lambda: model(codes))


def cases(generator: torch.Generator) -> list[tuple[str, str | None, dict[str, Tensor], dict[str, Tensor]]]:
    """(what is wrong, the answer, ours, theirs)."""
    model = small_generator(generator)
    codes = torch.randint(0, 12, (1, 17, 10), generator=generator)
    theirs = layer_outputs(model, codes)
    rounded = {name: y + 1e-6 * y.abs().max() * torch.rand(y.shape, generator=generator) for name, y in theirs.items()}
    found = [("nothing but rounding", None, rounded, theirs)]
    for what, where, plant in faults():
        broken = copy.deepcopy(model)
        plant(broken)
        found.append((what, where, layer_outputs(broken, codes), theirs))
    names = list(theirs)
    loud = {name: 1e5 * y for name, y in theirs.items()}, {name: 1e5 * y for name, y in rounded.items()}
    found.append(("nothing but the rounding of large numbers", None, *loud))
    quiet = {name: 1e-6 * y for name, y in theirs.items()}
    found.append(("a quiet layer that is wholly wrong", names[4], {**quiet, names[4]: -quiet[names[4]]}, quiet))
    hole = theirs[names[2]].clone()
    hole.view(-1)[3] = math.nan
    found.append(("a NaN", names[2], {**theirs, names[2]: hole}, theirs))
    return found


@exercise("13", hint="gap = (mine - theirs).abs().max() / theirs.abs().max(); and `not gap <= within` is true for NaN.")
def first_difference(answer: Any, generator: torch.Generator) -> str:
    """`answer(ours, theirs, within) -> name or None`: the first layer that differs by more than rounding."""
    planted = 0
    for what, want, ours, theirs in cases(generator):
        try:
            got = call(answer, ours, theirs, 1e-4)
        except Wrong as fault:
            if "gave back None" not in str(fault):
                raise
            got = None
        if got != want:
            raise Wrong(f"value: {what}: expected {want!r}, got {got!r}")
        planted += want is not None
    return f"All {planted} planted faults found at the layer where they begin, and no false alarm."


# ------------------------------------------------------------------------------------------- the memory sum


def bytes_needed(config: MoshiConfig, bits: int, conversations: int) -> int:
    """Weights of the generator at `bits`, and 16-bit keys and values of the temporal transformer at full context."""
    with torch.device("meta"):
        weights = sum(p.numel() for p in HierarchicalGenerator(config).parameters())
    helium = config.helium
    return weights * bits // 8 + conversations * 2 * helium.layers * helium.context * helium.dim * 2


@exercise("13", hint="bits are an eighth of a byte; keys and values are two, of 2 bytes a number, per layer and step.")
def memory_bytes(answer: Any, generator: torch.Generator) -> str:
    """`answer(config: MoshiConfig, bits, conversations) -> bytes`."""
    full = MoshiConfig.preset("full")
    helium = MoshiConfig.preset("tiny").helium.replace(context=draw(generator, 50, 400))
    some = MoshiConfig.preset("tiny").replace(helium=helium)
    for config, bits, conversations in ((full, 16, 1), (full, 4, 8), (some, 32, 3), (some, 8, 1)):
        got = call(answer, config, bits, conversations)
        if isinstance(got, Tensor):
            got = got.item()
        if not isinstance(got, (int, float)) or isinstance(got, bool):
            raise Wrong(f"the memory should be a number of bytes, got {describe(got)}")
        want = bytes_needed(config, bits, conversations)
        if not math.isclose(got, want, rel_tol=1e-6):
            why = _why(got, config, bits, conversations)
            raise Wrong(f"value: {bits} bits, {conversations} conversations: {got:,.0f} bytes, expected {want:,}{why}")
    gigabytes = bytes_needed(full, 16, 1) / 1e9
    return f"The whole Moshi in bfloat16 needs {gigabytes:.1f} GB with its memory full; 24 GB are enough."


def _why(got: float, config: MoshiConfig, bits: int, conversations: int) -> str:
    weights, one = bytes_needed(config, bits, 0), bytes_needed(config, 16, 1) - bytes_needed(config, 16, 0)
    cache = conversations * one
    reasons = {
        "these are bits, not bytes": 8 * weights + cache,
        "keys *and* values: twice as much": weights + cache / 2,
        "every conversation has keys and values of its own": weights + one,
        "conversations share the weights; only keys and values are their own": conversations * weights + cache,
        "keys and values of all layers": weights + cache / config.helium.layers,
        "the keys and values are missing": weights,
    }
    fits = [reason for reason, value in reasons.items() if math.isclose(got, value, rel_tol=1e-6)]
    return f": {fits[0]}" if fits else ""
