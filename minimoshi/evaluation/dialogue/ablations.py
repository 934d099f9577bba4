"""The paper's choices in the dialogue model (§5.4 and §5.5), in small: the same training with one taken back at a time.

    python -m minimoshi.evaluation.dialogue.ablations --takes RUN/takes --out FOLDER

Every variant learns a smaller world from nothing, with equal steps, for several seeds, and then answers users it never
heard, running freely. Their episodes are judged from the sound, as those of the report card are.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ...config import MoshiConfig
from ...data.miniworld import EpisodeMaker, Exchange, GridMaker, Takes, exchange
from ...data.miniworld.bank import speakers
from ...data.miniworld.grids import Grid
from ...data.miniworld.sound import render
from ...data.stereo import save_dialogue
from ...moshi import HierarchicalGenerator
from ...moshi.dialogue import with_tiny_codec
from ...moshi.grid import ZERO_TOKEN
from ...text import TextTokenizer
from ...training.loop import RunFolder, train
from ...training.moshi import MoshiTraining, collect
from ...training.moshi_recipe import MoshiRecipe
from ..judge import judge
from ..memo import Memo
from ..variants import variants_table
from .cases import Case, read_case
from .hearing import Ear
from .report import Judged
from .run import Runner
from .summary import summarise

WORLD = {"greeting": 0.15, "colour": 0.3, "opposite": 0.3, "stop": 0.25}  # few answers: short runs get somewhere
RECIPE = dict(preset="tiny", batch=4, frames=120, text_alone=0.0, remembering=0.5, ease=300, lr=6e-3, muon_lr=0.015)
HELD_OUT_USERS = 8  # the last of the bank
SAMPLING = dict(temperature=0.6, text_temperature=0.0)
_CHECKED = 8  # batches of held-out episodes for the losses


@dataclass(frozen=True)
class Variant:
    """What is taken back: fields of the recipe, something of the model's config, or something that the grids show."""

    recipe: dict[str, Any] = field(default_factory=dict)
    config: Callable[[MoshiConfig], MoshiConfig] = lambda config: config
    grid: Callable[[Grid], Grid] = lambda grid: grid
    half_duplex: bool = False


def _acoustics_late(frames: int) -> Callable[[MoshiConfig], MoshiConfig]:
    side = (0, *[frames] * 7)
    return lambda config: config.replace(delays=(0, *side, *side))


def _one_set_of_weights(config: MoshiConfig) -> MoshiConfig:
    return config.replace(depth=config.depth.replace(schedule=(0,) * config.dep_q))


def _one_at_a_time(grid: Grid) -> Grid:
    """The user's stream is hidden where Moshi speaks: with one stream, whoever speaks has it."""
    codes = grid.codes.clone()
    codes[1 + len(codes) // 2 :, grid.speaking] = ZERO_TOKEN
    return replace(grid, codes=codes)


VARIANTS = {
    "all of it": Variant(),
    "no inner monologue": Variant(recipe=dict(monologue=False)),
    "acoustic delay 0": Variant(config=_acoustics_late(0)),
    "acoustic delay 2": Variant(config=_acoustics_late(2)),
    "AdamW for all": Variant(recipe=dict(muon_lr=0.0, lr=4e-3)),
    "all levels weigh the same": Variant(recipe=dict(semantic_weight=1.0)),
    "one set of depth weights": Variant(config=_one_set_of_weights),
    "one stream": Variant(grid=_one_at_a_time, half_duplex=True),
}


class World:
    """Users of a bank, most of them to learn from, the last to be tested with."""

    def __init__(self, takes: Path, tokenizer: TextTokenizer):
        users = [name for name in speakers(takes) if not name.startswith("guest")]
        if len(users) < 2 * HELD_OUT_USERS:
            raise ValueError(f"{takes} holds {len(users)} users, expected at least {2 * HELD_OUT_USERS}: record more")
        self.grids = GridMaker(takes, tokenizer)
        known, self.new = users[:-HELD_OUT_USERS], users[-HELD_OUT_USERS:]
        self.known = EpisodeMaker(Takes(takes, known, splice=0.5), WORLD)
        self.unknown = EpisodeMaker(Takes(takes, self.new), WORLD)

    def batches(self, variant: Variant, recipe: MoshiRecipe, many: int) -> list:
        """Held-out batches, the same for all variants but for what is taken back."""
        rng = random.Random("ablations")
        draw = lambda: variant.grid(self.grids(self.unknown.random(rng, recipe.frames), rng))  # noqa: E731
        return [collect([draw() for _ in range(recipe.batch)]) for _ in range(many)]

    def cases(self, folder: Path, each: int) -> list[Case]:
        """Test episodes in `folder`, `each` of a skill; where the user breaks in, with a control beside it."""
        found = []
        for skill in WORLD:
            for number in range(each):
                seed = f"{skill}-{number:02d}"
                asked, name = self._draw(random.Random(seed), skill)
                found.append(self._case(folder, seed, "seen", "", [asked], name))
                if asked.breaks:
                    found.append(self._case(folder, f"control-{seed}", "control", seed, [asked.unbroken], name))
        return found

    def _draw(self, rng: random.Random, skill: str) -> tuple[Exchange, str]:
        """An exchange, and one of the new users who has said all that it asks for."""
        for _ in range(1000):
            asked = exchange(skill, rng)
            if able := [name for name in self.new if self.unknown.takes.can_ask(name, asked)]:
                return asked, rng.choice(able)
        raise ValueError(f"none of {', '.join(self.new)} has said what {skill!r} needs: record more users")

    def _case(self, folder: Path, name: str, group: str, control: str, asked: list, user: str) -> Case:
        path = folder / f"{name}.wav"
        if not path.exists():
            dialogue = render(self.unknown.play(random.Random(control or name), asked, user, tail=25))
            dialogue.facts |= {"group": group, "control": control}
            save_dialogue(folder, name, dialogue)
        return read_case(path)


def train_variant(
    name: str, seed: int, steps: int, world: World, out: Path
) -> tuple[HierarchicalGenerator, dict[str, float]]:
    """Train one variant with one seed, or read what an earlier call trained; and its losses on held-out episodes."""
    variant = VARIANTS[name]
    recipe = MoshiRecipe.from_dict({**RECIPE, "steps": steps, "seed": seed, **variant.recipe})
    torch.manual_seed(seed)
    start = HierarchicalGenerator(variant.config(recipe.model))
    made = MoshiTraining(
        recipe,
        lambda rng, frames: variant.grid(world.grids(world.known.random(rng, frames), rng)),
        generator=start,
    )
    folder = RunFolder(out / name.replace(" ", "_") / str(seed))
    every = max(1, steps // 4)
    train(folder, "ablation", steps, made.step, made.parts(), check_every=every, save_every=every)
    return made.result(), made.check(world.batches(variant, recipe, _CHECKED))


def measure(
    generator: HierarchicalGenerator, variant: Variant, cases: Sequence[Case], ear: Ear, cache: Path
) -> dict[str, float | None]:
    """How it answers, running freely; None where nothing was to be measured."""
    model = with_tiny_codec(generator).eval()
    runner = Runner(model, cache, progress=False, half_duplex=variant.half_duplex, **SAMPLING)
    judged = Judged("variant", runner(cases), ear, cases)
    found = summarise(judged.cases, judged.rows)
    stop = found["stop"]["broken"]
    asked = [row for row in judged.rows if row["group"] == "seen" and row["skill"] != "stop"]
    text = variant.recipe.get("monologue", True)
    return {
        "right": statistics.mean(row["right"] for row in asked),
        "right_in_text": statistics.mean(row["text_right"] for row in asked) if text else None,
        "stops": stop["silent"] and stop["silent"]["rate"],
        "latency": found["takeover"]["median"],
    }


COLUMNS = {
    "codebook_1_held_out": ("loss, level 1 ↓", ".3f"),
    "levels_held_out": ("loss, levels 2–8 ↓", ".3f"),
    "right": ("right answers ↑", ".0%"),
    "right_in_text": ("in its own text ↑", ".0%"),
    "stops": ('silent after "stop" ↑', ".0%"),
    "latency": ("latency, s", ".2f"),
}


def table(results: dict[str, list[dict[str, float | None]]]) -> str:
    """The results as Markdown."""
    return variants_table("taken back", COLUMNS, results)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.evaluation.dialogue.ablations", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--takes", required=True, type=Path, help="a bank with codes: minimoshi train moshi makes one")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--each", type=int, default=12, help="test episodes of each skill")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    world = World(options.takes, TextTokenizer.from_pretrained("tiny"))
    cases = world.cases(options.out / "episodes", options.each)
    cache = options.out / "cache"
    ear = Ear({"tiny.en": judge("tiny.en", str(cache))}, Memo(cache))
    results: dict[str, list[dict[str, float | None]]] = {}
    for seed in range(options.seeds):  # seed by seed, so that a run cut short still compares all variants
        for name in options.only:
            generator, losses = train_variant(name, seed, options.steps, world, options.out)
            losses["levels_held_out"] = statistics.mean(losses[f"codebook_{q}_held_out"] for q in range(2, 9))
            results.setdefault(name, []).append(losses | measure(generator, VARIANTS[name], cases, ear, cache))
            (options.out / "ablations.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            (options.out / "ablations.md").write_text(table(results) + "\n", encoding="utf-8")
            print(table(results), flush=True)


if __name__ == "__main__":
    main()
