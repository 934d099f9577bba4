"""Train the tiny codec on a laptop: decide what the tokens mean, then teach both halves side by side.

End-to-end training has to find the tokens, the way into them and the way out of them all at once, and takes
GPU-days. Here teachers (`teachers.py`) fix the tokens beforehand. The encoder then learns, by regression, to
give the teachers' latents; the decoder learns, beside it on another core, to make sound from the teachers'
tokens; at the end the decoder gets used to the small mistakes of this encoder. The trained model is an
ordinary `MimiAudioCodec`.

    python -m minimoshi.training.decoupled --run-dir RUNS --stage all

runs every stage in order; each may be run alone (`--stage encoder` and `--stage decoder` at the same time,
one core each), stopped at any moment and started again: it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from ..config import SAMPLE_RATE, MimiConfig
from ..data.corpus import Part, SpeechCrops, build_part
from ..mimi import MimiAudioCodec
from .init import scaled_init
from .losses import MelLoss
from .optim import Muon, cosine, split_parameters
from .teachers import SpeechTeacher, fit_statistics, kmeans, residual_kmeans, train_phone_net

STAGES = ("corpus", "teachers", "encoder", "decoder", "finetune", "export")
SPOKEN = (
    Part("heart", "hibari", 80, 0.55),
    Part("crowd", "hibari:crowd", 45, 0.55),
    Part("slt", "flite:slt", 8),
    Part("rms", "flite:rms", 8),
    Part("kal16", "flite:kal16", 6),
)
HELD_OUT = (
    Part("heart", "hibari", 2.5),
    Part("crowd", "hibari:crowd", 1.2),
    Part("slt", "flite:slt", 0.4),
    Part("rms", "flite:rms", 0.4),
    Part("kal16", "flite:kal16", 0.4),
    Part("awb", "flite:awb", 1.5),
)
WEIGHTS = {"heart": 0.45, "crowd": 0.2, "slt": 0.04, "rms": 0.04, "kal16": 0.03}
HUMAN_WEIGHT = 0.24  # shared by all folders of recordings


@dataclass(frozen=True)
class Recipe:
    """What a run is made of. Seconds are those of the clock, on one thread."""

    preset: str = "tiny"
    seed: int = 0
    phone_seconds: float = 180.0
    teacher_frames: int = 100_000
    encoder_seconds: float = 3200.0
    decoder_seconds: float = 3200.0
    finetune_seconds: float = 1200.0
    batch: int = 4
    frames: int = 16  # of each crop
    lr: float = 2e-3  # AdamW
    muon_lr: float = 0.02
    finetune_lr: float = 0.4  # share of both in fine-tuning
    level_dropout: float = 0.25  # how often the decoder hears fewer than all levels
    clip: float = 5.0
    checkpoint_every: float = 60.0  # seconds
    steps: int | None = None  # of every training: anneal and stop by their number instead of by the clock


class Run:
    """The folder of one run, and what its stages share."""

    def __init__(self, folder: str | Path, recipe: Recipe):
        self.folder, self.recipe = Path(folder), recipe
        self.config = MimiConfig.preset(recipe.preset)
        self.samples = recipe.frames * self.config.frame_size

    def crops(self, part: str = "corpus", augment: bool = True) -> SpeechCrops:
        folder = self.folder / part
        names = sorted(path.stem for path in folder.glob("*.jsonl"))
        human = [name for name in names if name not in WEIGHTS]
        weights = {n: WEIGHTS.get(n, HUMAN_WEIGHT / max(1, len(human))) for n in names}
        if not weights:
            raise FileNotFoundError(f"{folder} holds no speech; run the stage 'corpus' first")
        return SpeechCrops(folder, weights, steady=("heart",), augment=augment)

    def batches(self, crops: SpeechCrops, size: int):
        """The batch source that teachers and training take: (rng, spoken) -> wav [B, 1, S], phones [B, F]."""

        def draw(rng: np.random.Generator, spoken: bool = False) -> tuple[Tensor, Tensor]:
            wav, phones = crops.batch(rng, size, self.samples, spoken)
            return torch.from_numpy(wav), torch.from_numpy(phones)

        return draw

    def load(self, name: str) -> dict:
        path = self.folder / f"{name}.pt"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; run the stage {name!r} first")
        return torch.load(path, weights_only=True)

    def save(self, name: str, content: dict) -> None:
        unfinished = self.folder / f"{name}.pt.unfinished"
        torch.save(content, unfinished)
        os.replace(unfinished, self.folder / f"{name}.pt")

    def log(self, name: str, **values) -> None:
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()})
        with open(self.folder / f"{name}.log", "a") as file:
            file.write(line + "\n")
        print(f"{name}: {line}", flush=True)

    def teacher(self) -> SpeechTeacher:
        teacher = SpeechTeacher(self.config.codebook_dim, self.config.frame_size)
        teacher.load_state_dict(self.load("teachers")["teacher"])
        return teacher.eval().requires_grad_(False)


# ------------------------------------------------------------------------------------------------- stages


def make_corpus(run: Run, human: dict[str, str], exclude: list[str]) -> None:
    """Speak the training and the held-out sentences, and read the recordings in `human` (name -> folder)."""
    for part in SPOKEN + tuple(Part(name, f"folder:{path}", 1000) for name, path in human.items()):
        rows = build_part(run.folder / "corpus", part, seed=run.recipe.seed, exclude=exclude)
        minutes = sum(row["samples"] for row in rows) / SAMPLE_RATE / 60
        run.log("corpus", part=part.name, clips=len(rows), minutes=minutes)
    for part in HELD_OUT:
        build_part(run.folder / "heldout", part, seed=run.recipe.seed + 1000, held_out=True)
    export_clips(run.folder / "heldout", run.folder / "heldout_clips")


def export_clips(corpus: Path, folder: Path) -> None:
    """Write a corpus as single FLAC files with a transcripts.json, the form that the evaluation reads."""
    folder.mkdir(exist_ok=True)
    transcripts = []
    for index_file in sorted(corpus.glob("*.jsonl")):
        sound = np.memmap(index_file.with_suffix(".i16"), "<i2", "r")
        for row in map(json.loads, index_file.read_text().splitlines()):
            name = f"{index_file.stem}_{row['index']:04d}.flac"
            clip = sound[row["offset"] : row["offset"] + row["samples"]]
            soundfile.write(folder / name, clip, SAMPLE_RATE, subtype="PCM_16")
            transcripts.append(
                {"file": name, "text": row["text"], "speaker": index_file.stem, "language": "en"}
            )
    (folder / "transcripts.json").write_text(json.dumps(transcripts, indent=1) + "\n")


def make_teachers(run: Run) -> None:
    """Teach the phones, find principal components and codebooks; log what each level leaves over."""
    recipe, config = run.recipe, run.config
    torch.manual_seed(recipe.seed)
    teacher = SpeechTeacher(config.codebook_dim, config.frame_size)
    batches = run.batches(run.crops(), 16)
    accuracy = train_phone_net(teacher, batches, recipe.phone_seconds, recipe.seed, recipe.steps)
    run.log("teachers", phone_accuracy=accuracy)
    semantic, acoustic = fit_statistics(teacher, batches, recipe.teacher_frames, recipe.seed + 1)
    semantic_book, _ = kmeans(semantic, config.codebook_size)
    acoustic_books, usage = residual_kmeans(acoustic, config.n_codebooks - 1, config.codebook_size)
    residual = acoustic
    for level, book in enumerate(acoustic_books):
        half_square = book.square().sum(1) / 2
        residual = residual - book[(residual @ book.T - half_square).argmax(1)]
        perplexity = torch.exp(torch.special.entr(usage[level] / usage[level].sum()).sum())
        error = float(residual.square().mean() / acoustic.square().mean())
        run.log("teachers", level=level + 1, left_over=error, perplexity=float(perplexity))
    run.save(
        "teachers",
        {"teacher": teacher.state_dict(), "semantic": semantic_book, "acoustic": acoustic_books},
    )


def new_codec(run: Run) -> MimiAudioCodec:
    """An untrained codec whose codebooks are the teachers'."""
    torch.manual_seed(run.recipe.seed)
    codec = scaled_init(MimiAudioCodec(run.config))
    teachers = run.load("teachers")
    codec.quantizer.semantic.set_centroids(0, teachers["semantic"])
    for level, centroids in enumerate(teachers["acoustic"]):
        codec.quantizer.acoustic.set_centroids(level, centroids)
    return codec


def encoder_modules(codec: MimiAudioCodec) -> list[nn.Module]:
    quantizer = codec.quantizer
    inputs = [quantizer.semantic.input_proj, quantizer.acoustic.input_proj]
    return [codec.encoder, codec.encoder_transformer, codec.downsample, *inputs]


def decoder_modules(codec: MimiAudioCodec) -> list[nn.Module]:
    quantizer = codec.quantizer
    outputs = [quantizer.semantic.output_proj, quantizer.acoustic.output_proj]
    return [*outputs, codec.upsample, codec.decoder_transformer, codec.decoder]


def projected(codec: MimiAudioCodec, wav: Tensor) -> tuple[Tensor, Tensor]:
    """What this encoder gives to the two codebook groups, each [B, F, d]."""
    latent = codec.to_latent(wav).transpose(1, 2)
    return codec.quantizer.semantic.input_proj(latent), codec.quantizer.acoustic.input_proj(latent)


def resynthesise(
    codec: MimiAudioCodec, semantic: Tensor, acoustic: Tensor, levels: Tensor | None = None
) -> Tensor:
    """Quantise projected latents [B, F, d] and decode them -> [B, 1, S].

    levels [B]: how many acoustic levels each example may use (None: all).
    """
    groups = codec.quantizer
    semantic_codes, acoustic_codes = groups.semantic.quantize(semantic), groups.acoustic.quantize(acoustic)
    if levels is None:
        return codec.decode(torch.cat([semantic_codes, acoustic_codes], 1))
    depth = torch.arange(acoustic_codes.shape[1])
    vectors = groups.acoustic.centroids[depth[:, None], acoustic_codes]  # [B, Q, F, d]
    kept = (vectors * (depth < levels[:, None])[..., None, None]).sum(1)
    latent = groups.semantic.decode(semantic_codes) + groups.acoustic.output_proj(kept).transpose(1, 2)
    return codec.from_latent(latent)


def train_encoder(run: Run) -> None:
    """Regression of both projections to the teachers' latents."""
    teacher, codec = run.teacher(), new_codec(run)

    def compare(wav: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            wanted = teacher(wav)
        semantic, acoustic = (
            (own - target).square().mean() for own, target in zip(projected(codec, wav), wanted, strict=True)
        )
        return {"loss": acoustic + 0.5 * semantic, "acoustic": acoustic, "semantic": semantic}

    _train(run, "encoder", codec, encoder_modules(codec), compare, run.recipe.encoder_seconds)


def train_decoder(run: Run) -> None:
    """Sound from the teachers' tokens."""
    teacher, codec = run.teacher(), new_codec(run)
    _train_to_speak(run, "decoder", codec, teacher, run.recipe.decoder_seconds)


def finetune_decoder(run: Run) -> None:
    """Sound from the tokens of the trained encoder, which stays as it is."""
    codec = new_codec(run)
    halves = run.load("encoder")["codec"], run.load("decoder")["codec"]
    for half, modules in zip(halves, (encoder_modules(codec), decoder_modules(codec)), strict=True):
        trained = {id(p) for module in modules for p in module.parameters()}
        own = {name: half[name] for name, p in codec.named_parameters() if id(p) in trained}
        codec.load_state_dict(own, strict=False)
    _train_to_speak(run, "finetune", codec, lambda wav: projected(codec, wav), run.recipe.finetune_seconds)


def _train_to_speak(
    run: Run,
    stage: str,
    codec: MimiAudioCodec,
    latents: Callable[[Tensor], tuple[Tensor, Tensor]],
    seconds: float,
) -> None:
    mel_loss, levels_rng = MelLoss(), np.random.default_rng(run.recipe.seed)
    acoustic_levels = run.config.n_codebooks - 1

    def compare(wav: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            semantic, acoustic = latents(wav)
        levels = None
        if torch.is_grad_enabled():
            fewer = levels_rng.random(len(wav)) < run.recipe.level_dropout
            drawn = levels_rng.integers(1, acoustic_levels, len(wav))
            levels = torch.from_numpy(np.where(fewer, drawn, acoustic_levels))
        sound = resynthesise(codec, semantic, acoustic, levels)
        return {"loss": mel_loss(sound[:, 0], wav[:, 0])}

    _train(run, stage, codec, decoder_modules(codec), compare, seconds)


def _train(
    run: Run,
    stage: str,
    codec: MimiAudioCodec,
    modules: list[nn.Module],
    compare: Callable[[Tensor], dict[str, Tensor]],
    seconds: float,
) -> None:
    """Minimise compare(wav)["loss"] over the parameters of `modules`; log, check and save on the way."""
    recipe = run.recipe
    codec.requires_grad_(False)
    for module in modules:
        module.requires_grad_(True)
    matrices, others = split_parameters(modules)
    scale = recipe.finetune_lr if stage == "finetune" else 1.0
    muon = Muon(matrices, recipe.muon_lr)
    adam = torch.optim.AdamW(others, recipe.lr, betas=(0.8, 0.95), weight_decay=0.01)
    parts = {"codec": codec, "muon": muon, "adam": adam}
    elapsed, step = _resume(run, stage, parts)
    batches, checks = run.batches(run.crops(), recipe.batch), _validation(run)
    saved, last, sums = (elapsed, step), time.monotonic(), {}

    def progress() -> float:
        return step / recipe.steps if recipe.steps else elapsed / seconds

    while progress() < 1:
        factor = scale * cosine(progress(), step)
        muon.param_groups[0]["lr"], adam.param_groups[0]["lr"] = recipe.muon_lr * factor, recipe.lr * factor
        values = compare(batches(np.random.default_rng([recipe.seed, 7, step]))[0])
        muon.zero_grad()
        adam.zero_grad()
        values["loss"].backward()
        nn.utils.clip_grad_norm_(matrices + others, recipe.clip)
        muon.step()
        adam.step()
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        now = time.monotonic()
        elapsed, last, step = elapsed + now - last, now, step + 1
        if elapsed - saved[0] >= recipe.checkpoint_every or progress() >= 1:
            means = {name: total / (step - saved[1]) for name, total in sums.items()}
            run.log(stage, seconds=elapsed, step=step, **means, **_check(codec, compare, checks))
            states = {name: part.state_dict() for name, part in parts.items()}
            run.save(stage, states | {"elapsed": elapsed, "step": step})
            saved, last, sums = (elapsed, step), time.monotonic(), {}


def _resume(run: Run, stage: str, parts: dict) -> tuple[float, int]:
    """Load the last checkpoint of a stage into `parts`, if there is one: (seconds spent, steps done)."""
    if not (run.folder / f"{stage}.pt").exists():
        return 0.0, 0
    saved = run.load(stage)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return saved["elapsed"], saved["step"]


def _validation(run: Run) -> dict[str, Tensor]:
    """For each held-out speaker, the same few crops every time."""
    crops = {}
    for path in sorted((run.folder / "heldout").glob("*.jsonl")):
        source = SpeechCrops(path.parent, {path.stem: 1.0}, augment=False)
        crops[path.stem] = run.batches(source, 8)(np.random.default_rng(0))[0]
    return crops


@torch.no_grad()
def _check(codec: MimiAudioCodec, compare: Callable, checks: dict[str, Tensor]) -> dict[str, float]:
    codec.eval()
    values = {f"{name}_held_out": float(compare(wav)["loss"]) for name, wav in checks.items()}
    codec.train()
    return values


def export(run: Run, folder: str | Path) -> None:
    """Write the fine-tuned codec as 16-bit floats, the form that ships."""
    codec = new_codec(run)
    codec.load_state_dict(run.load("finetune")["codec"])
    codec.save_pretrained(folder, dtype=torch.float16)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.training.decoupled", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--run-dir", required=True, help="folder for everything that the run makes")
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument(
        "--human", action="append", default=[], metavar="NAME=FOLDER", help="recordings to train on"
    )
    parser.add_argument("--exclude", nargs="*", default=[], help="names of recordings to leave out")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all training times by this")
    parser.add_argument("--export-to", help="folder for the finished codec; default RUN_DIR/mimi")
    options = parser.parse_args(arguments)
    default = Recipe()
    times = {k: getattr(default, k) * options.scale for k in vars(default) if k.endswith("_seconds")}
    run = Run(options.run_dir, Recipe(preset=options.preset, seed=options.seed, **times))
    run.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    human = dict(item.split("=", 1) for item in options.human)
    work = {
        "corpus": lambda: make_corpus(run, human, options.exclude),
        "teachers": lambda: make_teachers(run),
        "encoder": lambda: train_encoder(run),
        "decoder": lambda: train_decoder(run),
        "finetune": lambda: finetune_decoder(run),
        "export": lambda: export(run, options.export_to or run.folder / "mimi"),
    }
    for stage in STAGES if options.stage == "all" else (options.stage,):
        work[stage]()


if __name__ == "__main__":
    main()
