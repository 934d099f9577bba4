"""Official models with random weights that a test can tell something by, and official names built without minimoshi."""

import copy
import math
import re
from typing import Any

import torch
from moshi.conditioners import ConditionAttributes
from moshi.models import LMGen
from moshi.models.loaders import get_mimi, get_moshi_lm
from torch import Tensor, nn

# A small language model in the official format: all options of the 7B, small numbers. The context is shorter than the
# streams of the tests, so the ring of keys and values goes round.
MOSHI = {
    "dim": 64,
    "num_heads": 4,
    "num_layers": 2,
    "hidden_scale": 4.125,
    "context": 40,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "causal": True,
    "layer_scale": None,
    "card": 96,
    "n_q": 16,
    "dep_q": 8,
    "delays": [0] + [0, 1, 1, 1, 1, 1, 1, 1] * 2,
    "text_card": 80,
    "existing_text_padding_id": 3,
    "depformer_dim": 32,
    "depformer_num_heads": 2,
    "depformer_num_layers": 2,
    "depformer_dim_feedforward": 132,
    "depformer_multi_linear": True,
    "depformer_pos_emb": "none",
    "depformer_gating": "silu",
    "depformer_weights_per_step": True,
    "depformer_layer_scale": None,
}
LABELS = ["very_bad", "bad", "neutral", "good", "very_good"]
CONDITION = {
    "conditioners": {
        "description": {"type": "lut", "lut": {"n_bins": 31, "dim": 16, "tokenizer": "noop", "possible_values": LABELS}}
    },
    "fuser": {
        "cross_attention_pos_emb": False,
        "cross_attention_pos_emb_scale": 1,
        "sum": ["description"],
        "prepend": [],
        "cross": [],
    },
}
HIBIKI = {"n_q": 32, "dep_q": 16, "delays": [0] + ([0] + [2] * 15) * 2, **CONDITION}


def random_mimi(speech: Tensor, seed: int = 1) -> nn.Module:
    """The full-size official Mimi with weights of unit gain and codebooks spread like what they quantise.

    As the package starts it, sound would come out near silence and all codes would be alike.
    """
    mimi = get_mimi(None, num_codebooks=8)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in mimi.named_parameters():
            if weight.dim() >= 2:
                transposed = 2 if "upsample" in name else 2 * weight.shape[0]
                fan_in = transposed if "convtr" in name else weight[0].numel()
                weight.normal_(0, 1 / math.sqrt(fan_in), generator=random)
            elif "scale" in name or "norm" in name:
                weight.uniform_(0.1, 0.5, generator=random)
            else:
                weight.normal_(0, 0.05, generator=random)
        mimi.decoder.model[-1].conv.conv.weight *= 0.1  # as loud as speech
        latent = mimi.encode_to_latent(speech, quantize=False)
        for quantizer in (mimi.quantizer.rvq_first, mimi.quantizer.rvq_rest):
            _spread_codebooks(quantizer, latent, random)
    return mimi


def _spread_codebooks(quantizer: nn.Module, latent: Tensor, random: torch.Generator) -> None:
    rest = quantizer.input_proj(latent).transpose(1, 2).flatten(0, 1)
    for layer in quantizer.vq.layers:
        book = layer._codebook
        centroids = rest.mean(0) + 0.7 * rest.std(0) * torch.randn(book.embedding_sum.shape, generator=random)
        book.cluster_usage.uniform_(0.5, 4, generator=random)
        book.embedding_sum.copy_(centroids * book.cluster_usage[:, None])
        book._initialized.fill_(1)
        book._embedding = None
        rest = rest - book.decode(book.encode(rest))


def random_lm(options: dict[str, Any], seed: int = 1) -> nn.Module:
    """An official language model; the package starts norms at one and some biases at zero, here they are random too."""
    torch.manual_seed(seed)
    model = get_moshi_lm(None, copy.deepcopy(options), dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(0, 0.2)
            elif "norm" in name:
                weight.uniform_(0.5, 1.5)
    return model


def fused(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In-memory names to the names in released files: the projections of the attention in one tensor."""
    files: dict[str, list[Tensor]] = {}
    for name, tensor in tensors.items():
        name = re.sub(r"in_projs\.\d+\.weight$", "in_proj_weight", name)
        files.setdefault(re.sub(r"out_projs\.\d+\.weight$", "out_proj.weight", name), []).append(tensor)
    return {name: torch.cat(parts).contiguous() if len(parts) > 1 else parts[0] for name, parts in files.items()}


def condition_tensors(model: nn.Module, label: str | None, batch: int) -> Any:
    """The official way to say "this description" to every row; None for models without conditions."""
    if model.condition_provider is None:
        return None
    return model.condition_provider.prepare_and_provide([ConditionAttributes(text={"description": label})] * batch)


def greedy(model: nn.Module, user_codes: Tensor, label: str | None = None) -> list[Tensor | None]:
    """The official step loop on user codes [B, n_user, T], taking the most likely token everywhere."""
    batch = user_codes.shape[0]
    steps = LMGen(model, use_sampling=False, check=True, condition_tensors=condition_tensors(model, label, batch))
    with steps.streaming(batch):
        frames = [steps.step(user_codes[:, :, t : t + 1]) for t in range(user_codes.shape[2])]
    return [None if frame is None else frame[:, :, 0] for frame in frames]
