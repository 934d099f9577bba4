"""The paper's ablation of Mimi (table 3), in small: the same short training with one idea taken away at a time.

    python -m minimoshi.evaluation.claims --corpus RUN/corpus --held-out RUN/heldout --out FOLDER

Each variant trains a very small codec end to end from nothing on Moshi's voice, with equal steps, for several seeds.
Such a codec is far from intelligible; what counts is in which direction a number moves when an idea is removed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..config import MimiConfig
from ..data.corpus import SpeechCrops
from ..mimi import MimiAudioCodec, ResidualVectorQuantizer
from ..training.codec import CodecTraining, train_codec
from ..training.init import scaled_init
from ..training.loop import RunFolder
from ..training.losses import MelLoss
from ..training.recipe import CodecRecipe
from ..training.speech import MOSHI, batches
from .measures import intelligibility
from .probes import abx, phone_labels, table_probe
from .variants import variants_table

SIZE = MimiConfig(
    dim=64,
    encoder_filters=8,
    decoder_filters=8,
    layers=2,
    heads=4,
    hidden=128,
    context=32,
    layer_scale=0.1,
    n_codebooks=8,
    codebook_size=128,
    codebook_dim=32,
)
RECIPE = dict(
    preset="tiny",
    batch=4,
    seconds=0.96,
    lr=2e-3,
    betas=[0.8, 0.95],
    muon_lr=0.02,
    mel=1.0,
    adversarial=0.0,
    feature=0.0,
    quantised=0.5,
    commitment=1.0,
    semantic=4.0,
    distillation="phones",
    fit_frames=10_000,
    critic_filters=8,
    critic_scales=[[1024, 256], [512, 128], [256, 64]],
    critic_seconds=0.32,
)
FRAMES = 12  # of a crop


class Skip(nn.Module):
    """In the place of a bottleneck transformer: what comes in goes out."""

    def forward(self, x: Tensor, state: None = None) -> Tensor:
        return x


def _plain(codec: MimiAudioCodec) -> None:
    config = codec.config
    codec.quantizer = ResidualVectorQuantizer(config.dim, config.n_codebooks, config.codebook_size, config.codebook_dim)


def _no_encoder_transformer(codec: MimiAudioCodec) -> None:
    codec.encoder_transformer = Skip()


def _no_decoder_transformer(codec: MimiAudioCodec) -> None:
    codec.decoder_transformer = Skip()


Surgery = Callable[[MimiAudioCodec], None]
VARIANTS: dict[str, tuple[dict, Surgery | None]] = {
    "all of it": ({}, None),
    "no distillation": (dict(semantic=0.0), None),
    "plain RVQ": ({}, _plain),
    "no transformer in the encoder": ({}, _no_encoder_transformer),
    "no transformer in the decoder": ({}, _no_decoder_transformer),
    "always quantised": (dict(quantised=1.0), None),
    "reconstruction and adversarial": (dict(adversarial=1.0, feature=1.0), None),
    "adversarial only": (dict(mel=0.0, adversarial=1.0, feature=1.0), None),
}


def train_variant(name: str, seed: int, steps: int, corpus: Path, out: Path) -> MimiAudioCodec:
    """Train one variant with one seed, or read what an earlier call trained."""
    changes, surgery = VARIANTS[name]
    recipe = CodecRecipe.from_dict({**RECIPE, "steps": steps, "quantise_from": steps // 3, "seed": seed, **changes})
    torch.manual_seed(seed)
    codec = MimiAudioCodec(SIZE)
    if surgery:
        surgery(codec)
    source = batches(SpeechCrops(corpus, {MOSHI: 1.0}, augment=False), recipe.batch, FRAMES * SIZE.frame_size)
    training = CodecTraining(recipe, source, start=scaled_init(codec))
    folder = RunFolder(out / name.replace(" ", "_") / str(seed))
    return train_codec(folder, "claims", training, {}, check_every=max(1, steps // 4), save_every=max(1, steps // 4))


@torch.inference_mode()
def measure(codec: MimiAudioCodec, held_out: Path, clips: int) -> dict[str, float]:
    """Of Moshi's held-out clips: mel loss, STOI, and what the first level knows of phones."""
    sound = np.memmap(held_out / f"{MOSHI}.i16", "<i2", "r")
    rows = [json.loads(line) for line in (held_out / f"{MOSHI}.jsonl").read_text().splitlines()][:clips]
    mel, codes, labels, vectors, mels, heard = MelLoss(), [], [], [], [], []
    for row in rows:
        wav = sound[row["offset"] : row["offset"] + row["samples"]] / np.float32(32768)
        wav = torch.from_numpy(wav[: len(wav) // SIZE.frame_size * SIZE.frame_size])
        code = codec.encode(wav[None, None])
        copy = codec.decode(code)[0, 0]
        mels.append(float(mel(copy[None], wav[None])))
        heard.append(intelligibility(wav.numpy(), copy.numpy()))
        codes.append(code[0, 0].numpy())
        labels.append(phone_labels(row["phones"], code.shape[-1]))
        vectors.append(codec.quantizer.decode(code[:, :1])[0].T.numpy())
    probe = table_probe(codes, labels, SIZE.codebook_size)
    error = abx(vectors, labels, [MOSHI] * len(rows))
    return {
        "mel": statistics.mean(mels),
        "stoi": statistics.mean(heard),
        "phones": probe["accuracy"],
        "abx": error,
    }


COLUMNS = {
    "mel": ("mel loss ↓", ".3f"),
    "stoi": ("STOI ↑", ".3f"),
    "phones": ("phone probe, level 1 ↑", ".3f"),
    "abx": ("ABX error, level 1 ↓", ".3f"),
}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """The results as Markdown."""
    return variants_table("variant", COLUMNS, results)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m minimoshi.evaluation.claims", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--held-out", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):  # seed by seed, so that a run cut short still compares all variants
        for name in options.only:
            codec = train_variant(name, seed, options.steps, options.corpus, options.out)
            results.setdefault(name, []).append(measure(codec, options.held_out, options.clips))
            (options.out / "claims.json").write_text(json.dumps(results, indent=1) + "\n")
    text = table(results)
    (options.out / "claims.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
