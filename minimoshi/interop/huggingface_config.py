"""The config.json of Hugging Face `MimiModel` and `MoshiForConditionalGeneration` to ours and back."""

from __future__ import annotations

from typing import Any

from ..config import DepthConfig, HeliumConfig, MimiConfig, MoshiConfig
from .kyutai_config import check_fixed

HF = "Hugging Face"


def _period(options: dict[str, Any]) -> float:
    return (options.get("rope_parameters") or options).get("rope_theta", 10_000.0)


def _rope(max_period: float) -> dict[str, Any]:
    return {"rope_theta": max_period, "rope_type": "default"}


def config_from_hf_mimi(options: dict[str, Any]) -> MimiConfig:
    """The config.json of a `MimiModel`; what it does not mention is as in the full model."""
    check_fixed(
        options,
        {
            "model_type": "mimi",
            "sampling_rate": 24000,
            "audio_channels": 1,
            "num_residual_layers": 1,
            "use_causal_conv": True,
            "pad_mode": "constant",
            "trim_right_ratio": 1.0,
            "use_conv_shortcut": False,
            "num_semantic_quantizers": 1,
            "hidden_act": "gelu",
            "norm_eps": 1e-5,
            "attention_bias": False,
        },
        HF,
    )
    get = options.get
    filters = get("num_filters", 64)
    return MimiConfig(
        dim=get("hidden_size", 512),
        ratios=tuple(reversed(get("upsampling_ratios") or [8, 6, 5, 4])),
        encoder_filters=filters,
        decoder_filters=filters,
        kernel=get("kernel_size", 7),
        residual_kernel=get("residual_kernel_size", 3),
        last_kernel=get("last_kernel_size", 3),
        compress=get("compress", 2),
        layers=get("num_hidden_layers", 8),
        heads=get("num_attention_heads", 8),
        hidden=get("intermediate_size", 2048),
        context=get("sliding_window", 250),
        max_period=_period(options),
        layer_scale=get("layer_scale_initial_scale", 0.01),
        n_codebooks=get("num_quantizers", 32),
        n_quantizers=min(8, get("num_quantizers", 32)),
        codebook_size=get("codebook_size", 2048),
        codebook_dim=get("vector_quantization_hidden_dimension", 256),
    )


def config_to_hf_mimi(config: MimiConfig) -> dict[str, Any]:
    """A MimiConfig as the config.json of a `MimiModel`."""
    if config.encoder_filters != config.decoder_filters or config.downsample != 2:
        raise ValueError(
            "the Hugging Face MimiModel has as many filters in the encoder as in the decoder and halves "
            f"the frame rate once; got encoder_filters {config.encoder_filters}, decoder_filters "
            f"{config.decoder_filters}, downsample {config.downsample}"
        )
    return {
        "architectures": ["MimiModel"],
        "model_type": "mimi",
        "sampling_rate": 24000,
        "audio_channels": 1,
        "hidden_size": config.dim,
        "num_filters": config.encoder_filters,
        "num_residual_layers": 1,
        "upsampling_ratios": list(reversed(config.ratios)),
        "kernel_size": config.kernel,
        "last_kernel_size": config.last_kernel,
        "residual_kernel_size": config.residual_kernel,
        "use_causal_conv": True,
        "pad_mode": "constant",
        "compress": config.compress,
        "codebook_size": config.codebook_size,
        "codebook_dim": config.codebook_dim,
        "vector_quantization_hidden_dimension": config.codebook_dim,
        "num_quantizers": config.n_codebooks,
        "num_semantic_quantizers": 1,
        "upsample_groups": config.dim,
        "num_hidden_layers": config.layers,
        "intermediate_size": config.hidden,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "head_dim": config.dim // config.heads,
        "hidden_act": "gelu",
        "norm_eps": 1e-5,
        "sliding_window": config.context,
        "rope_parameters": _rope(config.max_period),
        "layer_scale_initial_scale": config.layer_scale,
        "attention_bias": False,
        "frame_rate": config.frame_rate,
    }


def config_from_hf_moshi(options: dict[str, Any]) -> MoshiConfig:
    """The config.json of a `MoshiForConditionalGeneration`; what it does not mention is as in the 7B model."""
    check_fixed(options, {"model_type": "moshi", "hidden_act": "silu", "tie_word_embeddings": False}, HF)
    get, inner = options.get, options.get("depth_decoder_config") or {}
    check_fixed(inner, {"hidden_act": "silu", "rms_norm_eps": get("rms_norm_eps", 1e-8)}, HF)
    codebooks, eps = get("num_codebooks", 8), get("rms_norm_eps", 1e-8)
    codec = config_from_hf_mimi(get("audio_encoder_config") or {})
    card = get("audio_vocab_size") or codec.codebook_size
    helium = HeliumConfig(
        dim=get("hidden_size", 4096),
        layers=get("num_hidden_layers", 32),
        heads=get("num_attention_heads", 32),
        hidden=get("ffn_dim", 22_528) // 2,
        context=get("sliding_window", 3000),
        max_period=_period(options),
        text_card=get("vocab_size", 32_000),
        norm_eps=eps,
    )
    depth = DepthConfig(
        dim=inner.get("hidden_size", 1024),
        layers=inner.get("num_hidden_layers", 6),
        heads=inner.get("num_attention_heads", 16),
        hidden=inner.get("ffn_dim", 5632) // 2,
        input_dim=helium.dim,
        dep_q=codebooks,
        card=card,
        text_card=helium.text_card,
        norm_eps=eps,
    )
    return MoshiConfig(helium=helium, depth=depth, n_q=2 * codebooks, card=card, delays=_delays(codebooks), mimi=codec)


def _delays(codebooks: int) -> tuple[int, ...]:
    return (0, *(0, *[1] * (codebooks - 1)) * 2)


def config_to_hf_moshi(config: MoshiConfig) -> dict[str, Any]:
    """A MoshiConfig as the config.json of a `MoshiForConditionalGeneration`, or a ValueError that says why not."""
    helium, depth = config.helium, config.depth
    lacks = {
        "depth is None": depth is None,
        "extra_heads": config.extra_heads,
        "condition_bins": config.condition_bins,
        "n_q other than 2 · dep_q": config.n_q != 2 * config.dep_q,
        "text_card_out": helium.text_card_out not in (None, helium.text_card),
        "norm 'layer'": helium.norm != "rms",
        "gated=False": not helium.gated,
        "delays other than 0 and 1": config.delays != _delays(config.dep_q),
    }
    if depth is not None:
        lacks |= {
            "a depth schedule": depth.weight_schedule != tuple(range(depth.dep_q)),
            "depth low_rank": depth.low_rank,
            "depth output_norm": depth.output_norm,
            "depth gated=False": not depth.gated,
            "another norm in the depth transformer": (depth.norm, depth.norm_eps) != (helium.norm, helium.norm_eps),
        }
    lacking = [what for what, is_so in lacks.items() if is_so]
    if lacking:
        raise ValueError("the Hugging Face Moshi cannot express: " + ", ".join(lacking))
    return {
        "architectures": ["MoshiForConditionalGeneration"],
        "model_type": "moshi",
        "vocab_size": helium.text_card,
        "hidden_size": helium.dim,
        "num_hidden_layers": helium.layers,
        "num_attention_heads": helium.heads,
        "num_key_value_heads": helium.heads,
        "head_dim": helium.dim // helium.heads,
        "audio_vocab_size": config.card,
        "max_position_embeddings": helium.context,
        "sliding_window": helium.context,
        "hidden_act": "silu",
        "rope_parameters": _rope(helium.max_period),
        "ffn_dim": 2 * helium.hidden,
        "rms_norm_eps": helium.norm_eps,
        "num_codebooks": config.dep_q,
        "tie_word_embeddings": False,
        "audio_encoder_config": config_to_hf_mimi(config.mimi),
        "depth_decoder_config": {
            "model_type": "moshi_depth",
            "vocab_size": depth.text_card,
            "hidden_size": depth.dim,
            "input_size": depth.input_dim,
            "num_hidden_layers": depth.layers,
            "num_attention_heads": depth.heads,
            "num_key_value_heads": depth.heads,
            "head_dim": depth.dim // depth.heads,
            "audio_vocab_size": depth.card,
            "max_position_embeddings": depth.dep_q + 1,
            "sliding_window": depth.dep_q,
            "hidden_act": "silu",
            "ffn_dim": 2 * depth.hidden,
            "rms_norm_eps": depth.norm_eps,
            "num_codebooks": depth.dep_q,
        },
    }
