"""How mini.safetensors was made: a small official language model and a small official codec, and what they give.

    python data_samples/official/make_official.py      (needs `moshi`, see tests/parity/requirements.txt)

Random weights of unit gain, rounded to bfloat16 as in released files, computed in single precision.
"""

import copy
import math
import re
from pathlib import Path

import torch
from moshi.models.loaders import _mimi_config, get_mimi, get_moshi_lm
from moshi.utils.compile import no_compile
from safetensors.torch import save_file
from torch import Tensor, nn

from minimoshi import interop, load_audio
from minimoshi.lab import official

FILE = Path(__file__).parent / "mini.safetensors"
SPEECH = Path(__file__).parents[1] / "allison_monkeys.flac"


def rounded(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.bfloat16())
    return model.eval()


def small_lm() -> nn.Module:
    torch.manual_seed(1)
    model = get_moshi_lm(None, copy.deepcopy(official.OPTIONS), dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    return rounded(model)


def small_mimi(wav: Tensor) -> nn.Module:
    c, options = official.MIMI, copy.deepcopy(_mimi_config)
    options["seanet"] |= dict(dimension=c.dim, n_filters=c.encoder_filters)
    options["quantizer"] |= dict(
        dimension=c.codebook_dim, n_q=8, bins=c.codebook_size, input_dimension=c.dim, output_dimension=c.dim
    )
    options["transformer"] |= dict(
        d_model=c.dim,
        num_heads=c.heads,
        num_layers=c.layers,
        dim_feedforward=c.hidden,
        input_dimension=c.dim,
        output_dimensions=[c.dim],
    )
    mimi, random = get_mimi(None, options), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in mimi.named_parameters():
            if weight.dim() >= 2:
                fan_in = 2 * (1 if "upsample" in name else weight.shape[0]) if "convtr" in name else weight[0].numel()
                weight.normal_(0, 1 / math.sqrt(fan_in), generator=random)
            elif "scale" in name or "norm" in name:
                weight.uniform_(0.1, 0.5, generator=random)
            else:
                weight.normal_(0, 0.05, generator=random)
        rounded(mimi)
        for quantizer in (mimi.quantizer.rvq_first, mimi.quantizer.rvq_rest):
            rest = quantizer.input_proj(mimi.encode_to_latent(wav, quantize=False)).transpose(1, 2).flatten(0, 1)
            for layer in quantizer.vq.layers:
                book = layer._codebook
                spread = 0.7 * rest.std() * torch.randn(book.embedding_sum.shape, generator=random)
                book.cluster_usage.uniform_(0.5, 4, generator=random).copy_(book.cluster_usage.bfloat16())
                book.embedding_sum.copy_(((rest.mean(0) + spread) * book.cluster_usage[:, None]).bfloat16())
                book._initialized.fill_(1)
                book._embedding = None
                rest = rest - book.decode(book.encode(rest))
    return mimi.eval()


def fused(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In-memory names to the names in released files."""
    files: dict[str, list[Tensor]] = {}
    for name, tensor in tensors.items():
        name = re.sub(r"in_projs\.\d+\.weight$", "in_proj_weight", name)
        files.setdefault(re.sub(r"out_projs\.\d+\.weight$", "out_proj.weight", name), []).append(tensor)
    return {name: torch.cat(parts).bfloat16().contiguous() for name, parts in files.items()}


@no_compile()  # the official package compiles some functions on first use
def made() -> dict[str, Tensor]:
    """Everything in the file, by its name there."""
    wav = load_audio(SPEECH)[None, :, 9600 : 9600 + 6 * 1920]
    torch.manual_seed(2)
    codes = torch.cat([torch.randint(40, (1, 1, 12)), torch.randint(32, (1, 16, 12))], dim=1)
    lm, mimi = small_lm(), small_mimi(wav)
    config = interop.config_from_kyutai(official.OPTIONS)
    kept = official.outputs(lm, [name for _, name in official.lm_layers(config)], lambda: lm(codes))
    with torch.no_grad():
        logits, sounds = lm(codes), mimi.encode(wav)
        ends = {
            "text_logits": logits.text_logits.where(logits.text_mask[..., None], torch.tensor(0.0)),
            "audio_logits": logits.logits.where(logits.mask[..., None], torch.tensor(0.0)),
            "codes": sounds,
            "sound": mimi.decode(sounds),
        }
    names = [name for _, name in official.codec_layers(official.MIMI)]
    kept |= official.outputs(mimi, names, lambda: mimi.decode(mimi.encode(wav))) | ends
    return {
        **{f"lm:{name}": tensor for name, tensor in fused(lm.state_dict()).items()},
        **{f"mimi:{name}": tensor for name, tensor in fused(mimi.state_dict()).items()},
        **{f"out:{name}": official.spread(tensor) for name, tensor in kept.items()},
        "in:codes": codes.to(torch.int16),
        "in:wav": wav.contiguous(),
    }


if __name__ == "__main__":
    save_file(made(), FILE)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
