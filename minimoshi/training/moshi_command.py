"""`minimoshi train moshi`: from an empty folder to a Moshi that listens and speaks, in stages that can be stopped.

takes: Moshi and many users say what the mini-world needs, Moshi until a recogniser understands it. codes: the codec
turns all of it into tokens. dialogue: the generator learns from conversations put together of these takes. export: a
folder for `from_pretrained`.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from .moshi_recipe import MoshiRecipe
from .named import add_run_arguments, begin, wanted

STAGES = ("takes", "codes", "dialogue", "export")
HEARD = {  # skills of episodes with sound: what proved hard is asked more often than in a test
    "greeting": 0.03, "sum": 0.13, "neighbour": 0.10, "opposite": 0.18, "colour": 0.10, "name": 0.06, "recall": 0.13,
    "count": 0.10, "stop": 0.08, "question": 0.09, "murmur": 0.07, "repeat": 0.11, "manner": 0.15
}  # fmt: skip
READ = {"sum": 0.45, "name": 0.05, "recall": 0.5}  # skills of episodes without sound: combinations, and memory
HELD_OUT = 2  # batches of episodes to check with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser, ", ".join(MoshiRecipe.RECIPES), STAGES, 250, "generator (default RUN_DIR/generator)")
    parser.add_argument("--users", type=int, default=230, help="voices of users; each has a twin (default 230)")
    parser.add_argument("--takes", metavar="FOLDER", help="takes of another run (default: its own, RUN_DIR/takes)")
    parser.add_argument("--codec", default="tiny", help="a shipped name or a folder (default tiny)")
    parser.add_argument("--tokenizer", default="tiny", help="a shipped name or a folder (default tiny)")
    parser.add_argument("--tensorboard", action="store_true", help="write event files as well")


def run(options: argparse.Namespace) -> None:
    recipe = MoshiRecipe.read(options.recipe, options.set)
    if options.users < 1:
        raise ValueError(f"--users must be at least 1, got {options.users}")
    folder = begin(options, recipe)
    stages = {"takes": _takes, "codes": _codes, "dialogue": _dialogue, "export": _export}
    for stage in wanted(options, STAGES):
        stages[stage](options, recipe, folder)


def _bank(options: argparse.Namespace, folder) -> Path:
    return Path(options.takes) if options.takes else folder.path / "takes"


def _takes(options: argparse.Namespace, recipe: MoshiRecipe, folder) -> None:
    from ..data.miniworld.bank import record_bank
    from ..evaluation.judge import judge
    from ..mimi import MimiAudioCodec
    from .clarity import Clarity

    # the recogniser is loaded when it is first asked: not at all where Moshi has spoken before
    clear = Clarity(MimiAudioCodec.from_pretrained(options.codec), lambda wav, rate: judge("tiny.en")(wav, rate))
    record_bank(_bank(options, folder), options.users, recipe.seed, clear)


def _codes(options: argparse.Namespace, recipe: MoshiRecipe, folder) -> None:
    from ..data.miniworld.coding import encode_bank
    from ..mimi import MimiAudioCodec

    encode_bank(_bank(options, folder), MimiAudioCodec.from_pretrained(options.codec))


def training(options: argparse.Namespace, recipe: MoshiRecipe, takes: Path):
    """The training of the stage "dialogue", and batches to check it with."""
    from ..data.miniworld import EpisodeMaker, GridMaker, Takes, moshi_alone, text_alone
    from ..data.miniworld.coding import MOSHI
    from ..data.text import conversation
    from ..text import TextTokenizer
    from .moshi import MoshiTraining, collect

    tokenizer = TextTokenizer.from_pretrained(options.tokenizer)
    shares = dict(splice=recipe.user_splice, mixed=recipe.user_mixed, hesitant=recipe.user_hesitant)
    bank = Takes(takes, **shares)
    grids = GridMaker(takes, tokenizer, recipe.user_echo)
    heard, read = EpisodeMaker(bank, HEARD), EpisodeMaker(bank, READ, ("speech", "text"))

    def source(rng: random.Random, frames: int):
        if recipe.text_behind:
            speaker = MOSHI if rng.random() < recipe.hear_moshi else "user"
            return grids.of_one(speaker, heard.random(rng, frames), rng)
        if rng.random() < recipe.text_alone:
            return text_alone(grids(read.random(rng, frames), rng))
        grid = grids(heard.random(rng, frames), rng)
        return moshi_alone(grid) if rng.random() < recipe.moshi_alone else grid

    def line(rng: random.Random) -> list[int]:
        return tokenizer.encode(conversation(rng))

    unseen = random.Random(f"held out {recipe.seed}")
    held_out = [collect([source(unseen, recipe.frames) for _ in range(recipe.batch)]) for _ in range(HELD_OUT)]
    return MoshiTraining(recipe, source, options.device, lines=line), held_out


def _dialogue(options: argparse.Namespace, recipe: MoshiRecipe, folder) -> None:
    from .loop import train

    made, held_out = training(options, recipe, _bank(options, folder))
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
