"""Official language model configurations (the `config.json` beside the weights) to ours and back."""

from __future__ import annotations

import difflib
from typing import Any

from ..config import EPAD_ID, PAD_ID, DepthConfig, HeliumConfig, MimiConfig, MoshiConfig, TransformerConfig

# The options of the released 7B models; they are assumed where a repository has no config.json.
MOSHI_7B: dict[str, Any] = {
    "dim": 4096,
    "num_heads": 32,
    "num_layers": 32,
    "hidden_scale": 4.125,
    "context": 3000,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "causal": True,
    "layer_scale": None,
    "card": 2048,
    "n_q": 16,
    "dep_q": 8,
    "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1],
    "text_card": 32000,
    "existing_text_padding_id": 3,
    "depformer_dim": 1024,
    "depformer_num_heads": 16,
    "depformer_num_layers": 6,
    "depformer_dim_feedforward": 4224,
    "depformer_multi_linear": True,
    "depformer_pos_emb": "none",
    "depformer_gating": "silu",
    "depformer_weights_per_step": True,
    "depformer_layer_scale": None,
}

# What the official model assumes for options that a configuration does not mention.
DEFAULTS: dict[str, Any] = {
    "dim": 128,
    "num_heads": 8,
    "hidden_scale": 4,
    "max_period": 10000,
    "gating": "none",
    "norm": "layer_norm",
    "positional_embedding": "sin",
    "card": 1024,
    "n_q": 8,
    "dep_q": 8,
    "delays": [0],
    "text_card": 32000,
    "text_card_out": None,
    "context": None,
    "depformer_dim": 256,
    "depformer_dim_feedforward": None,
    "depformer_multi_linear": False,
    "depformer_pos_emb": "sin",
    "depformer_weights_per_step": False,
    "depformer_weights_per_step_schedule": None,
    "depformer_low_rank_embeddings": None,
    "depformer_norm": None,
    "extra_heads_num_heads": 0,
    "extra_heads_dim": 6,
    "conditioners": {},
    "fuser": None,
}

# Options that minimoshi has with one value only.
FIXED: dict[str, Any] = {
    "causal": True,
    "norm_emb": False,
    "bias_proj": False,
    "layer_scale": None,
    "depformer_layer_scale": None,
    "cross_attention": False,
    "kv_repeat": 1,
    "depformer_kv_repeat": 1,
    "skip_self_attn": False,
    "positional_scale": 1.0,
    "demux_second_text_stream": False,
    "demux_second_stream": False,
    "lora": False,
    "existing_text_padding_id": PAD_ID,
    "existing_text_end_padding_id": EPAD_ID,
}

# Options without a say in the numbers of the language model: file names, settings of other programs, training.
OTHER = {
    "moshi_name",
    "mimi_name",
    "mimi_config_name",
    "tokenizer_name",
    "quantize",  # whether the file holds 8-bit integers, which it shows by itself
    "lora_name",
    "lora_rank",
    "lora_scaling",
    "model_type",
    "model_id",
    "lm_gen_config",
    "tts_config",
    "stt_config",
    "gradient_checkpointing",
    "checkpointing",
    "betas",
    "depformer_causal",
    "depformer_context",
    "depformer_max_period",
}

# Known, but without a plain default.
NEEDED = {"num_layers", "depformer_num_heads", "depformer_num_layers", "depformer_gating"}

NORMS = {
    "rms_norm_f32": ("rms", 1e-8),
    "rms_norm": ("rms", 1e-5),
    "layer_norm": ("layer", 1e-5),
    "layer_norm_f32": ("layer", 1e-8),
}


def config_from_kyutai(options: dict[str, Any]) -> MoshiConfig:
    """An official configuration as a MoshiConfig.

    Covers the temporal and the depth transformer of Moshi, Hibiki (with its quality condition) and the speech-to-text
    models. ValueError names options that are unknown or that minimoshi does not have, with what it would accept.
    """
    if not isinstance(options, dict):
        raise ValueError(f"an official configuration is a dict of options, got {type(options).__name__}")
    _check_known(options)
    o = DEFAULTS | options
    dim, dep_q, gated, (norm, eps) = o["dim"], o["dep_q"], _gated(o, "gating"), _choice(o, "norm", NORMS)
    max_period = _choice(o, "positional_embedding", {"rope": o["max_period"], "none": None})
    helium = HeliumConfig(
        dim=dim,
        layers=_needed(o, "num_layers"),
        heads=o["num_heads"],
        hidden=_hidden(o["hidden_scale"] * dim, dim, gated),
        context=_needed(o, "context"),
        max_period=max_period,
        text_card=o["text_card"],
        text_card_out=o["text_card_out"],
        gated=gated,
        norm=norm,
        norm_eps=eps,
    )
    _, bins, width = _condition(o)
    mimi = MimiConfig.preset("full").replace(n_quantizers=min(32, max(1, dep_q, o["n_q"] - dep_q)))
    return MoshiConfig(
        helium=helium,
        depth=_depth(o, helium) if dep_q else None,
        n_q=o["n_q"],
        card=o["card"],
        delays=tuple(o["delays"]),
        mimi=mimi,
        extra_heads=o["extra_heads_num_heads"],
        extra_heads_dim=o["extra_heads_dim"],
        condition_bins=bins,
        condition_dim=width,
    )


def _depth(o: dict[str, Any], helium: HeliumConfig) -> DepthConfig:
    dim, dep_q, schedule = o["depformer_dim"], o["dep_q"], o["depformer_weights_per_step_schedule"]
    _choice(o, "depformer_pos_emb", {"none": None})
    gated = _gated(o, "depformer_gating") if "depformer_gating" in o else helium.gated
    if schedule is None and not o["depformer_weights_per_step"] and not o["depformer_multi_linear"]:
        schedule = [0] * dep_q  # one set of weights serves every codebook
    wide = o["depformer_dim_feedforward"] or o["hidden_scale"] * dim
    if isinstance(wide, list):
        if len(set(wide)) > 1:
            raise ValueError(f"depformer_dim_feedforward: minimoshi has one width for all codebooks, got {wide}")
        wide = wide[0]
    return DepthConfig(
        dim=dim,
        layers=o.get("depformer_num_layers", helium.layers),
        heads=_needed(o, "depformer_num_heads"),
        hidden=_hidden(wide, dim, gated),
        input_dim=helium.dim,
        dep_q=dep_q,
        card=o["card"],
        text_card=o["text_card"],
        gated=gated,
        norm=helium.norm,
        norm_eps=helium.norm_eps,
        schedule=tuple(schedule) if schedule else None,
        low_rank=o["depformer_low_rank_embeddings"],
        output_norm=_choice(o, "depformer_norm", {None: False, "layer_norm": True}),
    )


def config_to_kyutai(config: MoshiConfig) -> dict[str, Any]:
    """A MoshiConfig as an official configuration. ValueError where the official model has no such option."""
    h, d = config.helium, config.depth
    wide = _wide(h.hidden, h.dim, h.gated)
    options: dict[str, Any] = {
        "dim": h.dim,
        "num_heads": h.heads,
        "num_layers": h.layers,
        "hidden_scale": wide / h.dim,
        "context": h.context,
        "max_period": h.max_period or 10000,
        "positional_embedding": "none" if h.max_period is None else "rope",
        "gating": "silu" if h.gated else "none",
        "norm": _norm_name(h.transformer),
        "causal": True,
        "layer_scale": None,
        "card": config.card,
        "n_q": config.n_q,
        "dep_q": config.dep_q,
        "delays": list(config.delays),
        "text_card": h.text_card,
        "text_card_out": h.text_card_out,
        "existing_text_padding_id": PAD_ID,
        "extra_heads_num_heads": config.extra_heads,
        "extra_heads_dim": config.extra_heads_dim,
    }
    if int(options["hidden_scale"] * h.dim) != wide:
        options["hidden_scale"] += 0.5 / h.dim  # the official model rounds down
    if d is not None:
        per_step = _per_step(d)
        if _norm_name(d.transformer) != options["norm"]:
            raise ValueError(
                "official models have one kind of norm: depth.norm and norm_eps must equal helium's, "
                f"got {d.norm} {d.norm_eps} and {h.norm} {h.norm_eps}"
            )
        options |= {
            "depformer_dim": d.dim,
            "depformer_num_heads": d.heads,
            "depformer_num_layers": d.layers,
            "depformer_dim_feedforward": _wide(d.hidden, d.dim, d.gated),
            "depformer_gating": "silu" if d.gated else "none",
            "depformer_multi_linear": per_step,
            "depformer_pos_emb": "none",
            "depformer_weights_per_step": per_step,
            "depformer_weights_per_step_schedule": list(d.schedule) if d.schedule and per_step else None,
            "depformer_low_rank_embeddings": d.low_rank,
            "depformer_norm": "layer_norm" if d.output_norm else None,
            "depformer_layer_scale": None,
        }
    if config.condition_bins:
        table = {
            "n_bins": config.condition_bins,
            "dim": config.condition_dim,
            "tokenizer": "noop",
            "possible_values": None,
        }
        options["conditioners"] = {"description": {"type": "lut", "lut": table}}
        options["fuser"] = {
            "sum": ["description"],
            "prepend": [],
            "cross": [],
            "cross_attention_pos_emb": False,
            "cross_attention_pos_emb_scale": 1,
        }
    return options


def _per_step(depth: DepthConfig) -> bool:
    """Whether official files hold the depth transformer's weights per step; ungated ones cannot."""
    if not depth.gated and depth.transformer.weight_sets > 1:
        raise ValueError(
            "the official depth transformer has no ungated feed-forward with weights per codebook; "
            f"use gated=True or schedule={(0,) * depth.dep_q}"
        )
    return depth.gated


def condition_name(options: dict[str, Any]) -> str:
    """The name under which an official file keeps its condition."""
    return _condition(DEFAULTS | options)[0]


def _condition(o: dict[str, Any]) -> tuple[str, int | None, int]:
    """Name, bins and width of the one learnt condition that may be added to the input."""
    conditioners, fuser = o["conditioners"] or {}, o["fuser"] or {}
    used = [name for method in ("sum", "cross", "prepend") for name in fuser.get(method, [])]
    if not conditioners and not used:
        return "description", None, 16
    name = next(iter(conditioners), None)
    if len(conditioners) != 1 or conditioners[name]["type"] != "lut":
        raise ValueError(f"conditioners: minimoshi has one condition of type 'lut', got {conditioners}")
    if used != [name] or fuser.get("sum") != [name]:
        raise ValueError(f"fuser: minimoshi adds its condition to the input ('sum': [{name!r}]), got {fuser}")
    table = conditioners[name]["lut"]
    return name, table["n_bins"], table["dim"]


def _check_known(options: dict[str, Any]) -> None:
    known = DEFAULTS.keys() | FIXED.keys() | OTHER | NEEDED
    unknown = sorted(options.keys() - known)
    if unknown:
        close = {key: difflib.get_close_matches(key, known, 1) for key in unknown}
        raise ValueError(
            "unknown options in the official configuration: "
            + ", ".join(f"{key!r}" + (f" (did you mean {close[key][0]!r}?)" if close[key] else "") for key in unknown)
        )
    check_fixed(options, FIXED, "official")


def check_fixed(options: dict[str, Any], fixed: dict[str, Any], whose: str) -> None:
    """ValueError that names the options which minimoshi only has with another value."""
    wrong = [f"{key}={options[key]!r} (only {only!r})" for key, only in fixed.items() if options.get(key, only) != only]
    if wrong:
        raise ValueError(f"minimoshi does not have these options of the {whose} configuration: " + ", ".join(wrong))


def _needed(o: dict[str, Any], key: str) -> Any:
    if o.get(key) is None:
        raise ValueError(f"the official configuration must give {key}")
    return o[key]


def _choice(o: dict[str, Any], key: str, meaning: dict[Any, Any]) -> Any:
    value = o[key]
    if value not in list(meaning):  # a list, for a value may be one too and not hashable
        raise ValueError(
            f"minimoshi does not have {key}={value!r} of the official configuration; "
            f"it has {', '.join(map(repr, meaning))}"
        )
    return meaning[value]


def _gated(o: dict[str, Any], key: str) -> bool:
    return _choice(o, key, {"silu": True, "none": False})


def _hidden(wide: float, dim: int, gated: bool) -> int:
    """Width of the feed-forward; a gated one gets two thirds, so that its three matrices cost as much as two."""
    wide = int(wide)
    if not gated:
        return wide
    return 21 * dim // 8 if wide == 4 * dim else 2 * wide // 3


def _wide(hidden: int, dim: int, gated: bool) -> int:
    """The official width for which `_hidden` gives `hidden`."""
    for wide in (hidden,) if not gated else (-(-3 * hidden // 2), -(-3 * hidden // 2) + 1, 4 * dim):
        if _hidden(wide, dim, gated) == hidden:
            return wide
    raise ValueError(
        f"no official configuration gives a gated feed-forward of width {hidden} at dim {dim}; {hidden + 1} is possible"
    )


def _norm_name(config: TransformerConfig) -> str:
    for name, kind in NORMS.items():
        if kind == (config.norm, config.norm_eps):
            return name
    raise ValueError(
        f"official models have no norm {config.norm!r} with eps {config.norm_eps}; they have "
        + ", ".join(f"{kind!r} with {eps}" for kind, eps in NORMS.values())
    )
