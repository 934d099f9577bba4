"""Train Helium, the text model: next-token prediction on packed lines (paper §3.2.1), and `minimoshi train helium`."""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import HeliumConfig
from ..data.text import LineSource, line, lines, train_tokenizer
from ..evaluation.text import END_ID, NGram, answered, ngram_perplexity, sums, word_perplexity
from ..text import HeliumModel, TextTokenizer
from .loop import RunFolder, Stateful, step_seed, train
from .named import Recipe, add_run_arguments, begin, wanted
from .optim import cosine

STAGES = ("tokenizer", "train", "report", "export")
NAME = "helium"


@dataclass(frozen=True)
class HeliumRecipe(Recipe):
    """Every number of a training."""

    preset: str = "tiny"
    tokenizer: str | None = None  # a shipped name, a folder or a .model file; None: the stage "tokenizer" makes it
    seed: int = 0
    steps: int = 1200
    batch: int = 4  # rows a step
    tokens: int = 96  # of a row
    everyday: float = 0.5  # share of lines that are everyday English; the others are conversations
    lr: float = 3e-3
    betas: tuple[float, ...] = (0.9, 0.95)
    weight_decay: float = 0.1  # on matrices
    warm_up: int = 40  # steps
    lr_floor: float = 0.02  # where half a cosine ends, as a share
    clip: float = 1.0  # largest norm of the whole gradient
    precision: str = "float32"  # or "bfloat16" (GPU)

    def __post_init__(self) -> None:
        _ = self.model
        self._require(min(self.steps, self.batch, self.tokens) >= 1, "steps, batch and tokens must be at least 1")
        self._require(0 <= self.everyday <= 1, f"everyday is a share from 0 to 1, got {self.everyday}")
        self._require(
            self.precision in ("float32", "bfloat16"), f"precision is float32 or bfloat16, got {self.precision!r}"
        )

    @property
    def model(self) -> HeliumConfig:
        return HeliumConfig.preset(self.preset)


HeliumRecipe.RECIPES = {
    "tiny": dict(),
    "paper": dict(  # 4.2 million tokens a step; needs its tokenizer of 32,000 pieces, and its text
        preset="full", steps=500_000, batch=1024, tokens=4096, lr=3e-4, warm_up=2000, precision="bfloat16"
    ),
}


def pack(encoded: Iterator[list[int]], batch: int, tokens: int) -> Tensor:
    """int64 [B, T]: in each row line after line, an end marker after each; the last line goes on as far as T allows.

    A row always begins with the beginning of a line, as a prompt does.
    """
    rows = []
    for _ in range(batch):
        row: list[int] = []
        while len(row) < tokens:
            row += [*next(encoded), END_ID]
        rows.append(row[:tokens])
    return torch.tensor(rows)


class HeliumTraining:
    """The model, its optimiser, and `step(n)`, which makes step n."""

    def __init__(
        self, recipe: HeliumRecipe, tokenizer: TextTokenizer, device: str = "cpu", source: LineSource | None = None
    ):
        self.recipe, self.tokenizer, self.device = recipe, tokenizer, torch.device(device)
        self.source = source or partial(line, everyday=recipe.everyday)
        torch.manual_seed(recipe.seed)
        self.model = HeliumModel(recipe.model, tokenizer).train().to(device)
        parameters = list(self.model.parameters())
        groups = [
            dict(params=[p for p in parameters if p.dim() > 1], weight_decay=recipe.weight_decay),
            dict(params=[p for p in parameters if p.dim() < 2], weight_decay=0.0),
        ]
        self.optimiser = torch.optim.AdamW(groups, recipe.lr, betas=recipe.betas)

    def batch(self, step: int) -> Tensor:
        """int64 [B, T], the same for the same step."""
        rng, _ = step_seed(self.recipe.seed, step)
        chance = random.Random(int(rng.integers(2**63)))
        encoded = (self.tokenizer.encode(self.source(chance)) for _ in itertools.count())
        return pack(encoded, self.recipe.batch, self.recipe.tokens).to(self.device)

    def loss(self, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of int64 [B, T], each token given those before it in its row."""
        start = torch.full_like(targets[:, :1], self.model.initial_id)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.model(torch.cat([start, targets[:, :-1]], dim=1))
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    def step(self, step: int) -> dict[str, float]:
        recipe, loss = self.recipe, self.loss(self.batch(step))
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.lr * cosine(step / recipe.steps, step, recipe.warm_up, recipe.lr_floor)
        self.optimiser.step()
        return {"loss": loss.item()}

    def parts(self) -> dict[str, Stateful]:
        """Everything that a checkpoint must hold."""
        return {"model": self.model, "optimiser": self.optimiser}

    def check(self, held_out: list[str]) -> dict[str, float]:
        """Perplexity per word on lines that training never saw."""
        return {"perplexity": word_perplexity(self.model, held_out)}


def held_out_lines(count: int, everyday: float) -> list[str]:
    """The same lines for every run: conversations (everyday 0), sentences (everyday 1) or a mixture."""
    return list(itertools.islice(lines("held out", everyday, held_out=True), count))


# --------------------------------------------------------------------------------------------------- report


def read_as_much(recipe: HeliumRecipe, words: int) -> list[str]:
    """Lines like those of the training, of at least so many words together."""
    found, source = [], lines(f"n-grams {recipe.seed}", recipe.everyday)
    while words > 0:
        found.append(next(source))
        words -= len(found[-1].split()) + 1
    return found


def report(helium: HeliumModel, recipe: HeliumRecipe, count: int = 300) -> dict[str, dict[str, float]]:
    """Perplexity per word on `count` held-out lines beside n-grams, and the share of sums with the right answer.

    The n-grams have counted at least as many words as the model has read tokens.
    """
    texts = {"conversations": held_out_lines(count, 0.0), "sentences": held_out_lines(count, 1.0)}
    read = read_as_much(recipe, recipe.steps * recipe.batch * recipe.tokens)
    found = {}
    for name, order in (("bigram", 2), ("trigram", 3), ("5-gram", 5)):
        ngram = NGram(read, order)
        found[name] = {kind: ngram_perplexity(ngram, some) for kind, some in texts.items()}
    found["helium"] = {kind: word_perplexity(helium, some) for kind, some in texts.items()}
    found["sums right"] = {}
    for split in ("speech", "text", "none"):
        right = answered(helium, sums(split))
        found["sums right"][f"{split} ({len(right)})"] = sum(right) / len(right)
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """The report as lines of text."""
    kinds = list(found["helium"])
    rows = [" " * 24 + "".join(f"{kind:>15}" for kind in kinds)]
    for name in [name for name in found if name != "sums right"]:
        rows.append(f"{'perplexity, ' + name:24}" + "".join(f"{found[name][kind]:15.2f}" for kind in kinds))
    for split, share in found["sums right"].items():
        rows.append(f"sums right, {split:16} {100 * share:10.1f} %")
    return "\n".join(rows)


# -------------------------------------------------------------------------------------------------- command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser, "tiny, paper", STAGES, 100, "model (default RUN_DIR/helium)")


def run(options: argparse.Namespace) -> None:
    """Make the stages that were asked for; a training goes on where it was stopped."""
    recipe = HeliumRecipe.read(options.recipe, options.set)
    folder = begin(options, recipe)
    for stage in wanted(options, STAGES):
        if stage == "tokenizer":
            _make_tokenizer(recipe, folder)
        elif stage == "train":
            training = HeliumTraining(recipe, _tokenizer(recipe, folder), options.device)
            check = partial(training.check, held_out_lines(64, recipe.everyday))
            train(folder, NAME, recipe.steps, training.step, training.parts(), check, check_every=options.check_every)
        elif stage == "report":
            found = report(load_result(recipe, folder), recipe)
            (folder.path / "report.json").write_text(json.dumps(found, indent=1) + "\n")
            print(table(found))
        else:
            target = options.export_to or folder.path / NAME
            load_result(recipe, folder).save_pretrained(target)
            print(f"the text model -> {target}")


def _made_tokenizer(folder: RunFolder) -> Path:
    return folder.path / "tokenizer.model"


def _make_tokenizer(recipe: HeliumRecipe, folder: RunFolder) -> None:
    if recipe.tokenizer is None and not _made_tokenizer(folder).exists():
        train_tokenizer().save(_made_tokenizer(folder))


def _tokenizer(recipe: HeliumRecipe, folder: RunFolder) -> TextTokenizer:
    if recipe.tokenizer is None and not _made_tokenizer(folder).exists():
        raise FileNotFoundError(f"{_made_tokenizer(folder)} is missing; run the stage 'tokenizer' first")
    return TextTokenizer.from_pretrained(recipe.tokenizer or _made_tokenizer(folder))


def load_result(recipe: HeliumRecipe, folder: RunFolder) -> HeliumModel:
    """The trained model of a run, ready to use."""
    model = HeliumModel(recipe.model, _tokenizer(recipe, folder))
    model.load_state_dict(folder.load(NAME)["parts"]["model"])
    return model.eval()
