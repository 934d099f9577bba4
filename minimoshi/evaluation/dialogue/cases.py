"""The test episodes on disk: made once from a seed, in the stereo format, with the facts by which they are judged.

    python -m minimoshi.evaluation.dialogue.cases FOLDER [--human FOLDER] [--seed 0]

FOLDER gets NAME.wav (left Moshi as scripted, right the user) and NAME.json of every episode, FOLDER.takes the takes
they are made of. A build that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...checkpoint import read_json
from ...data.miniworld import Episode, EpisodeMaker, Takes
from ...data.miniworld.bank import add_takes, record_moshi, record_user
from ...data.miniworld.skills import SPLITS
from ...data.miniworld.sound import render
from ...data.stereo import (
    StereoDialogue,
    Word,
    load_dialogue,
    read_transcript,
    save_dialogue,
    transcript_path,
    write_manifest,
    write_whole,
)
from .human import human_takes
from .scripts import EACH, GROUPS, SILENCE_FRAMES, Plan, draw_plans, says_of

SETTINGS = "cases.json"
_TAIL = 25  # frames of silence after the script's last sound: Moshi may be slower than the script


@dataclass(frozen=True)
class Case:
    """A test episode. facts: those of `sound.facts_of`, and `group` and `control`, the name of the episode of which
    this is the control, or ""."""

    path: Path
    facts: dict[str, Any]
    words: tuple[Word, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def group(self) -> str:
        return self.facts["group"]

    @property
    def exchanges(self) -> list[dict[str, Any]]:
        return self.facts["exchanges"]

    def stereo(self) -> np.ndarray:
        """float32 [2, S]: Moshi as scripted, and the user."""
        return load_dialogue(self.path).stereo

    def script(self) -> list[Word]:
        """Moshi's words as scripted."""
        return [word for word in self.words if word.speaker == "moshi"]


def build_cases(
    folder: str | Path,
    seed: int = 0,
    each: Mapping[str, int] = EACH,
    human: str | Path | None = None,
    progress: bool = True,
) -> list[Case]:
    """Make the test set of a seed in `folder`, or what is missing of it.

    each: episodes of each skill by group. human: the folder of recordings for the group "human" (see `human.py`);
    without it there is no such group. Raises ValueError if `folder` holds another test set, ImportError naming a
    missing package, FileNotFoundError for missing recordings.
    """
    folder = Path(folder)
    plans = draw_plans(seed, each, human is not None)
    _begin(folder, {"seed": seed, "each": dict(each), "human": human is not None})
    bank = folder.with_name(f"{folder.name}.takes")
    missing = [plan for plan in plans if not (folder / f"{plan.name}.wav").exists()]
    if missing:
        _record(bank, plans, human, progress)
        speakers = list(dict.fromkeys(plan.user.name for plan in missing if plan.exchanges))
        makers = {name: EpisodeMaker(Takes(bank, [name]), splits=SPLITS) for name in speakers}
        for plan in tqdm(missing, desc="episodes", disable=not progress):
            save_dialogue(folder, plan.name, _make(plan, makers.get(plan.user.name)))
        write_manifest(folder)
    return load_cases(folder)


def _begin(folder: Path, settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if not path.exists():
        write_whole(path, json.dumps(settings) + "\n")
    elif (found := read_json(path)) != settings:
        raise ValueError(f"{folder} holds the test set of {found}, not of {settings}: choose another folder")


def _record(bank: Path, plans: list[Plan], human: str | Path | None, progress: bool) -> None:
    record_moshi(bank, seed=1, takes=2)
    users = {plan.user.name: plan.user for plan in plans if plan.exchanges}
    for name, user in tqdm(users.items(), desc="users", disable=not progress):
        says = says_of(plans, name)
        if user.voice == "human":
            add_takes(bank, user, human_takes(human, says))
        else:
            record_user(bank, user, says, held_out=True)


def _make(plan: Plan, maker: EpisodeMaker | None) -> StereoDialogue:
    rng = random.Random(plan.seed)
    if maker is None:
        episode = Episode(SILENCE_FRAMES, plan.user)
    else:
        episode = maker.play(rng, plan.exchanges, plan.user.name, _TAIL, plan.lulls)
    dialogue = render(episode, seed=int.from_bytes(plan.seed.encode()[-4:], "big"))
    dialogue.facts |= {"group": plan.group, "control": plan.control}
    return dialogue


def load_cases(folder: str | Path) -> list[Case]:
    """The episodes of a test set, group by group. FileNotFoundError, ValueError if it is none, or not complete."""
    folder = Path(folder)
    if not (folder / SETTINGS).exists():
        raise FileNotFoundError(
            f"{folder} holds no test set; python -m minimoshi.evaluation.dialogue.cases {folder} makes one"
        )
    settings = read_json(folder / SETTINGS)
    plans = draw_plans(settings["seed"], settings["each"], settings["human"])
    missing = [plan.name for plan in plans if not (folder / f"{plan.name}.wav").exists()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {len(missing)} episodes are not made yet, {missing[0]} for one; make it again to go on"
        )
    order = {name: place for place, name in enumerate(GROUPS)}
    return sorted((read_case(folder / f"{plan.name}.wav") for plan in plans), key=lambda case: order[case.group])


def read_case(path: Path) -> Case:
    words, facts = read_transcript(transcript_path(path))
    return Case(path, facts, tuple(words or ()))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.evaluation.dialogue.cases", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--human", metavar="FOLDER", help="unpacked asterisk-core-sounds-en-g722")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    cases = build_cases(options.folder, options.seed, human=options.human)
    for group, many in Counter(case.group for case in cases).items():
        print(f"{group:8} {many:4} episodes: {GROUPS[group]}")


if __name__ == "__main__":
    main()
