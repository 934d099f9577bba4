"""`minimoshi train moshi`: from an empty folder to a Moshi that listens and speaks, in stages that can be stopped.

takes: Moshi and many users say what the mini-world needs. codes: the codec turns all of it into tokens. dialogue: the
generator learns from conversations put together of these takes. export: a folder for `from_pretrained`.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from .moshi_recipe import MoshiRecipe

STAGES = ("takes", "codes", "dialogue", "export")
HELD_OUT = 2  # batches of episodes to check with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-dir", required=True, metavar="FOLDER", help="for everything that the run makes")
    parser.add_argument("--recipe", default="tiny", help="tiny, paper, or a JSON file (default tiny)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a number of the recipe; repeatable"
    )
    parser.add_argument("--stage", choices=[*STAGES, "all"], default="all", help="one stage alone (default all)")
    parser.add_argument("--users", type=int, default=120, help="voices that talk to Moshi (default 120)")
    parser.add_argument("--codec", default="tiny", help="a shipped name or a folder (default tiny)")
    parser.add_argument("--tokenizer", default="tiny", help="a shipped name or a folder (default tiny)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--check-every", type=int, default=250, metavar="STEPS")
    parser.add_argument("--tensorboard", action="store_true", help="write event files as well")
    parser.add_argument("--export-to", metavar="FOLDER", help="for the finished generator (default RUN_DIR/generator)")


def run(options: argparse.Namespace) -> None:
    import torch

    from .loop import RunFolder

    recipe = MoshiRecipe.read(options.recipe, options.set)
    if options.users < 1:
        raise ValueError(f"--users must be at least 1, got {options.users}")
    folder = RunFolder(options.run_dir)
    (folder.path / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1) + "\n")
    torch.set_num_threads(1)  # small tensors: a second thread costs more than it gives
    torch.set_flush_denormal(True)
    stages = {"takes": _takes, "codes": _codes, "dialogue": _dialogue, "export": _export}
    for stage in STAGES if options.stage == "all" else (options.stage,):
        stages[stage](options, recipe, folder)


def _takes(options: argparse.Namespace, recipe: MoshiRecipe, folder) -> None:
    from ..data.miniworld.bank import record_bank

    record_bank(folder.path / "takes", options.users, recipe.seed)


def _codes(options: argparse.Namespace, recipe: MoshiRecipe, folder) -> None:
    from ..data.miniworld.bank import encode_bank
    from ..mimi import MimiAudioCodec

    encode_bank(folder.path / "takes", MimiAudioCodec.from_pretrained(options.codec))


def training(options: argparse.Namespace, recipe: MoshiRecipe, takes: Path):
    """The training of the stage "dialogue", and batches to check it with."""
    from ..data.miniworld import EpisodeMaker, GridMaker, Takes
    from ..data.text import conversation
    from ..text import TextTokenizer
    from .moshi import MoshiTraining, collect

    tokenizer = TextTokenizer.from_pretrained(options.tokenizer)
    episodes, grids = EpisodeMaker(Takes(takes)), GridMaker(takes, tokenizer)

    def source(rng: random.Random, frames: int):
        return grids(episodes.random(rng, frames), rng)

    def line(rng: random.Random) -> list[int]:
        return tokenizer.encode(conversation(rng))

    unseen = random.Random(f"held out {recipe.seed}")
    held_out = [collect([source(unseen, recipe.frames) for _ in range(recipe.batch)]) for _ in range(HELD_OUT)]
    return MoshiTraining(recipe, source, options.device, lines=line), held_out


def _dialogue(options: argparse.Namespace, recipe: MoshiRecipe, folder) -> None:
    from .loop import train

    made, held_out = training(options, recipe, folder.path / "takes")
    train(
        folder,
        "dialogue",
        recipe.steps,
        made.step,
        made.parts(),
        check=lambda: made.check(held_out),
        check_every=options.check_every,
        save_every=options.check_every,
        tensorboard=options.tensorboard,
    )


def _export(options: argparse.Namespace, recipe: MoshiRecipe, folder) -> None:
    from .moshi import load_result

    target = options.export_to or folder.path / "generator"
    load_result(folder, "dialogue", recipe).save_pretrained(target)
    print(f"the generator is in {target}")
