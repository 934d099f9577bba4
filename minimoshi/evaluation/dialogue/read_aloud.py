"""The other two uses of the same model: text read aloud, and users' speech written down, both by their word errors."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from ...config import SAMPLE_RATE
from ...data.miniworld.skills import moshi_says
from ...moshi import FullDuplexDialogueModel, Transcriber
from .cases import Case
from .hearing import Ear, errors
from .summary import rate

SENTENCES = 40  # answers of the mini-world that are read aloud
EPISODES = 20  # of each group, whose users are written down
GROUPS = ("seen", "unseen", "human")
_TURN = 0.8  # seconds of silence that part a user's sound into stretches for the judge


def read_aloud(model: FullDuplexDialogueModel, ear: Ear, seed: int = 0, **sampling: Any) -> dict[str, Any] | None:
    """`model.say` speaks SENTENCES texts; what the first judge hears of them."""
    texts = sorted({text for _, text in moshi_says(("speech",))})
    pairs = []
    for text in tqdm(random.Random(seed).sample(texts, SENTENCES), desc="reading aloud", unit="sentence"):
        sound = model.say(text, seed=seed, **sampling).stereo[0].numpy()
        pairs.append(errors(text, ear.listen(sound, 0.0, len(sound) / SAMPLE_RATE)))
    return rate(pairs)


def written_down(transcriber: Transcriber, cases: Sequence[Case], ear: Ear) -> dict[str, dict[str, Any]]:
    """{group: {"transcriber", "judge": word error rates on users' speech}}, the first EPISODES of each group."""
    found: dict[str, dict[str, list]] = defaultdict(lambda: {"transcriber": [], "judge": []})
    some = [case for group in GROUPS for case in [c for c in cases if c.group == group][:EPISODES]]
    for case in tqdm(some, desc="writing down", unit="episode"):
        user = case.stereo()[1]
        said = [word for word in case.words if word.speaker == "user"]
        wanted = " ".join(word.text for word in said)
        wrote = " ".join(word.text for word in transcriber(torch.from_numpy(user)))
        judged = " ".join(ear.listen(user, start, end) for start, end in _turns(said))
        found[case.group]["transcriber"].append(errors(wanted, wrote))
        found[case.group]["judge"].append(errors(wanted, judged))
    return {
        group: {name: rate(pairs) for name, pairs in systems.items()} for group, systems in found.items()
    }


def _turns(words: Sequence[Any]) -> list[tuple[float, float]]:
    """From timed words to the stretches of speech that they make, in seconds."""
    turns: list[tuple[float, float]] = []
    for word in words:
        if turns and word.start - turns[-1][1] < _TURN:
            turns[-1] = (turns[-1][0], word.end)
        else:
            turns.append((word.start, word.end))
    return turns
