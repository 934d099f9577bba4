"""A teacher that nobody taught: it listens to speech without labels and learns to guess what it did not hear.

The idea is HuBERT's (Hsu et al. 2021), a relative of the paper's teacher WavLM, made small. It goes in rounds:

1. *Units.* Describe every 20 ms of sound by its cepstrum (MFCC) and sort all of them into 100 heaps with k-means. Each
   column of sound now has a number, its unit. Units are crude: they know vowels from hisses, but also one speaker from
   another.
2. *Masked prediction.* Hide stretches of 200 ms from a network and let it name the units of what is hidden. It can only
   do so by knowing how speech goes on, and speech goes on in phones, whoever speaks.
3. *Better units.* In the middle of that network the sound is described better than by its cepstrum. Sort these
   descriptions into heaps, and teach a new network from the start with the new units.

No transcript, no label and no download is needed, only speech:

    python -m minimoshi.training.teachers.selfsupervised --corpus FOLDER --out FOLDER --steps 2000

It can be stopped at any moment and started again; step n is the same step either way.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...checkpoint import CONFIG, Pretrained, read_json
from ...config import Config
from ..codebooks import kmeans, nearest
from ..optim import cosine
from ..speech import Batches
from .interface import check_sound, corpus_batches
from .phone_net import BANDS, COLUMNS, MelColumns

# ------------------------------------------------------------------------------------------------- cepstrum


class Cepstrum(nn.Module):
    """Sound [B, 1, S] -> 13 mel-frequency cepstral coefficients and their two derivatives in time, [B, 4F, 39].

    A cosine transform of the log-mel column: its first coefficients are the shape of the spectrum without the fine
    detail of the pitch. The derivatives say where that shape is heading.
    """

    COEFFICIENTS = 13

    def __init__(self):
        super().__init__()
        self.mel = MelColumns(causal=False)
        band = (torch.arange(BANDS) + 0.5) / BANDS
        order = torch.arange(self.COEFFICIENTS)
        self.register_buffer("transform", torch.cos(torch.pi * order[:, None] * band), persistent=False)  # [13, M]

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        static = self.transform @ self.mel(wav)  # [B, 13, 4F]
        velocity = self._slope(static)
        return torch.cat([static, velocity, self._slope(velocity)], dim=1).transpose(1, 2)

    @staticmethod
    def _slope(x: Tensor) -> Tensor:
        """[B, C, T] -> the slope at every column of the straight line through its five neighbours."""
        window = F.pad(x, (2, 2), mode="replicate").unfold(-1, 5, 1)  # [B, C, T, 5]
        return window @ torch.tensor([-0.2, -0.1, 0.0, 0.1, 0.2]).to(x)


# ---------------------------------------------------------------------------------------------------- units


class Units(nn.Module):
    """Sound [B, 1, S] -> the unit of every 20 ms column, int64 [B, 4F]: the nearest centroid of its description.

    describe: sound -> descriptions [B, 4F, D], of which each coordinate is brought to mean 0 and variance 1.
    """

    def __init__(self, describe: Callable[[Tensor], Tensor], points: Tensor, size: int, seed: int):
        super().__init__()
        self.describe, self.size = describe, size
        self.mean, self.std = points.mean(0), points.std(0).clamp(min=1e-5)
        self.centroids, _ = kmeans((points - self.mean) / self.std, size, seed=seed)

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        described = (self.describe(wav) - self.mean) / self.std
        return nearest(described.flatten(0, 1), self.centroids).unflatten(0, described.shape[:2])


@torch.no_grad()
def find_units(
    describe: Callable[[Tensor], Tensor], batches: Batches, size: int, points: int = 30_000, seed: int = 0
) -> Units:
    """Sort `points` columns of speech into `size` heaps."""
    found, draw = [], 0
    while sum(map(len, found)) < points:
        wav, _ = batches(np.random.default_rng([seed, 1, draw]), False)
        found.append(describe(wav).flatten(0, 1))
        draw += 1
    return Units(describe, torch.cat(found)[:points], size, seed)


def purity(units: Tensor, phones: Tensor) -> float:
    """How often the phone is right when every unit stands for its commonest one. Both int64 [B, F], -100 unknown."""
    known = phones >= 0
    table = torch.zeros(int(units.max()) + 1, int(phones.max().clamp(min=0)) + 1)
    table.index_put_((units[known], phones[known]), torch.ones(int(known.sum())), accumulate=True)
    return float(table.max(1).values.sum() / table.sum().clamp(min=1))


# -------------------------------------------------------------------------------------------------- network


@dataclass(frozen=True)
class SelfSupervisedConfig(Config):
    dim: int = 96
    convolutions: int = 3  # layers that look at their neighbours
    layers: int = 2  # of the transformer, which looks everywhere
    heads: int = 4
    hidden: int = 288
    kernel: int = 9  # of each convolution, in columns of 20 ms
    units: int = 100
    feature_layer: int = 1  # the transformer layer whose output is the teacher's and makes the next round's units


class ConvolutionLayer(nn.Module):
    """[B, T, D] -> [B, T, D]: mix neighbouring columns, then mix the channels of each; not causal."""

    def __init__(self, dim: int, hidden: int, kernel: int):
        super().__init__()
        self.mix = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.channels = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.channels(self.mix(x.transpose(1, 2)).transpose(1, 2))


class SelfSupervisedTeacher(Pretrained, nn.Module):
    """A `Teacher`: the inside of a network that was trained by masked prediction; not causal.

    In training, `predict_units` names units where a mask hides the sound. As a teacher it hears everything, and the
    four columns of each frame are averaged.
    """

    config_class, part = SelfSupervisedConfig, "selfsupervised"
    causal = False

    def __init__(self, config: SelfSupervisedConfig):
        super().__init__()
        if not 1 <= config.feature_layer <= config.layers:
            raise ValueError(f"feature_layer {config.feature_layer}: expected one of the layers 1 to {config.layers}")
        self.config, self.dim = config, config.dim
        self.mel = MelColumns(causal=False)
        self.first = nn.Conv1d(BANDS, config.dim, 5, padding=2)
        self.hidden_sound = nn.Parameter(torch.randn(config.dim) * 0.1)  # stands where the mask hides the sound
        # attention alone knows no order; the convolutions before it tell it who stands beside whom, as in HuBERT
        self.convolutions = nn.Sequential(
            *(ConvolutionLayer(config.dim, config.hidden, config.kernel) for _ in range(config.convolutions))
        )
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.dim, config.heads, config.hidden, 0.0, F.gelu, batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.units = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, config.units))

    def listen(self, wav: Tensor, layers: int, mask: Tensor | None = None) -> Tensor:
        """Sound [B, 1, S] -> [B, 4F, D] after so many transformer layers; deaf where mask [B, 4F] is set."""
        x = self.first(self.mel(wav)).transpose(1, 2)  # [B, 4F, D]
        if mask is not None:
            x = torch.where(mask[..., None], self.hidden_sound, x)
        x = self.convolutions(x)
        for layer in self.layers[:layers]:
            x = layer(x)
        return x

    def predict_units(self, wav: Tensor, mask: Tensor) -> Tensor:
        """Scores of the units, [B, 4F, V], with the sound hidden where mask [B, 4F] is set."""
        return self.units(self.listen(wav, self.config.layers, mask))

    @torch.no_grad()
    def describe(self, wav: Tensor) -> Tensor:
        """[B, 1, S] -> [B, 4F, D], before the columns are averaged."""
        return self.listen(wav, self.config.feature_layer)

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        frames = check_sound(wav)
        return self.describe(wav).unflatten(1, (frames, COLUMNS)).mean(2)


# ------------------------------------------------------------------------------------------------- training


def hide_spans(batch: int, columns: int, generator: torch.Generator, start: float = 0.06, span: int = 10) -> Tensor:
    """A mask bool [B, T]: any column begins, with probability `start`, a hidden stretch of `span` columns.

    Stretches may overlap; with these numbers about 45 % of the columns are hidden. One short hole could be filled by
    copying its edges, 200 ms can not.
    """
    begins = torch.rand(batch, columns, generator=generator) < start
    begins[:, columns // 2] |= ~begins.any(1)  # there is always something to guess
    spread = F.max_pool1d(F.pad(begins.float()[:, None], (span - 1, 0)), span, stride=1)
    return spread[:, 0] > 0


HEARD = 0.5  # weight of the columns that are heard, beside the hidden ones


def masked_loss(scores: Tensor, units: Tensor, mask: Tensor, heard: float = HEARD) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the hidden columns plus `heard` times that of the others, and accuracy on the hidden ones.

    scores [B, T, V], units [B, T], mask [B, T]. Guessing what is hidden teaches how speech goes on; naming what is
    heard, the easy part, asks the network not to forget the sound itself. HuBERT, with days of training, leaves it out.
    """
    hidden = F.cross_entropy(scores[mask], units[mask])
    others = F.cross_entropy(scores[~mask], units[~mask], reduction="sum") / (~mask).sum().clamp(min=1)
    return hidden + heard * others, (scores[mask].argmax(-1) == units[mask]).float().mean()


@dataclass(frozen=True)
class Recipe:
    steps: int = 2000  # of each round
    rounds: int = 2
    seed: int = 0
    lr: float = 3e-3
    unit_points: int = 30_000  # columns of speech that the units of a round are found from
    checkpoint_every: int = 200  # steps


def train_selfsupervised(
    batches: Batches,
    rounds: int = 2,
    steps: int = 2000,
    seed: int = 0,
    config: SelfSupervisedConfig | None = None,
    folder: str | os.PathLike | None = None,
    log: Callable[[str], None] = print,
    unit_points: int = 30_000,
    checkpoint_every: int = 200,
) -> SelfSupervisedTeacher:
    """Train a teacher from speech alone. With a folder, it can be interrupted and is saved there in the end.

    batches: (rng, spoken) -> wav [B, 1, S] and phones [B, F]; the phones are only used to log how pure the units are.
    ValueError when the folder belongs to a run with other numbers.
    """
    recipe = Recipe(steps, rounds, seed, unit_points=unit_points, checkpoint_every=checkpoint_every)
    config = config or SelfSupervisedConfig()
    folder = None if folder is None else Path(folder)
    if folder is not None:
        _claim(folder, recipe, config)
    teacher = None
    for number in range(1, rounds + 1):
        done = None if folder is None else folder / f"round{number}"
        checkpoint = None if done is None else done.with_suffix(".pt")
        if done is not None and (done / CONFIG).exists():
            teacher = SelfSupervisedTeacher.from_pretrained(done)
            continue
        describe = Cepstrum() if teacher is None else teacher.describe
        units = find_units(describe, batches, config.units, unit_points, seed)
        log(f"round {number}: {_describe_units(units, batches, seed)}")
        teacher = _train_round(number, units, batches, recipe, config, checkpoint, log)
        if done is not None:
            teacher.save_pretrained(done)
            checkpoint.unlink(missing_ok=True)
    if folder is not None:
        teacher.save_pretrained(folder)
    return teacher.requires_grad_(False)


def _train_round(
    number: int,
    units: Units,
    batches: Batches,
    recipe: Recipe,
    config: SelfSupervisedConfig,
    checkpoint: Path | None,
    log: Callable[[str], None],
) -> SelfSupervisedTeacher:
    """Masked prediction of `units` by a new network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + number)
        net = SelfSupervisedTeacher(config)
    optimizer = torch.optim.AdamW(net.parameters(), recipe.lr, betas=(0.9, 0.98), weight_decay=0.01)
    step = _resume(checkpoint, net, optimizer)
    losses, hits = [], []
    while step < recipe.steps:
        wav, _ = batches(np.random.default_rng([recipe.seed, 2, number, step]), False)
        labels = units(wav)
        chance = torch.Generator().manual_seed((recipe.seed * 100 + number) * 1_000_000 + step)
        mask = hide_spans(*labels.shape, chance)
        optimizer.param_groups[0]["lr"] = recipe.lr * cosine(step / recipe.steps, step)
        loss, accuracy = masked_loss(net.predict_units(wav, mask), labels, mask)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        losses.append(float(loss.detach()))
        hits.append(float(accuracy))
        if step % recipe.checkpoint_every == 0 or step == recipe.steps:
            named = np.mean(hits)
            log(f"round {number}, step {step}: loss {np.mean(losses):.3f}, {named:.3f} of what was hidden is named")
            losses, hits = [], []
            _save(checkpoint, net, optimizer, step)
    return net.eval()


def _describe_units(units: Units, batches: Batches, seed: int) -> str:
    drawn = [batches(np.random.default_rng([seed, 3, draw]), False) for draw in range(20)]
    phones = torch.cat([phones for _, phones in drawn]).repeat_interleave(COLUMNS, dim=1)
    if (phones < 0).all():
        return f"{units.size} units"
    share = purity(torch.cat([units(wav) for wav, _ in drawn]), phones)
    return f"{units.size} units, which name the phone of {share:.3f} of the columns"


def _claim(folder: Path, recipe: Recipe, config: SelfSupervisedConfig) -> None:
    """Write down what the run in this folder is; refuse to go on with a different one."""
    mine = {"recipe": asdict(recipe), "model": config.to_dict()}
    path = folder / "recipe.json"
    if path.exists() and (begun := read_json(path)) != mine:
        raise ValueError(f"{folder} was begun with {begun}, not {mine}; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(mine, indent=2) + "\n")


def _save(checkpoint: Path | None, net: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    if checkpoint is not None:
        unfinished = checkpoint.with_suffix(".unfinished")
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, unfinished)
        os.replace(unfinished, checkpoint)


def _resume(checkpoint: Path | None, net: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the checkpoint of this round, if there is one; returns the steps done."""
    if checkpoint is None or not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.training.teachers.selfsupervised", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--corpus", required=True, help="folder written by build_part")
    parser.add_argument("--out", required=True, help="folder for the trained teacher")
    parser.add_argument("--steps", type=int, default=2000, help="of each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    batches = corpus_batches(options.corpus, size=8, frames=32)
    train_selfsupervised(batches, options.rounds, options.steps, options.seed, folder=options.out)


if __name__ == "__main__":
    main()
