"""The report card of a dialogue model's behaviour.

    python -m minimoshi.evaluation.dialogue.cases CASES              the test episodes, once
    minimoshi evaluate dialogue MODEL --cases CASES --out FOLDER     the whole card
    minimoshi evaluate dialogue MODEL --cases CASES --out FOLDER --quick 1     a first look

Into the output folder go card.md, card.json, exchanges.json with what was heard in every exchange, figures, and some
episodes to listen to. What was generated or judged once is kept in a cache, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import os
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...bench import machine
from ...moshi import FullDuplexDialogueModel, Transcriber
from ...training.named import pairs
from ..codec import through
from ..judge import judge
from ..measures import same_speaker
from ..memo import Memo, default_cache, digest
from .bars import bars
from .cases import Case, load_cases
from .hearing import Ear, Listener, errors
from .measures import Row, judge_case
from .read_aloud import read_aloud, written_down
from .run import ECHO, Answer, Runner, fingerprint, load_model, script_answer, step_milliseconds
from .scripts import GROUPS
from .summary import rate, summarise

JUDGES = ("tiny.en", "base")
CODEC_CASES = 80  # episodes whose scripted voice is judged once more after the codec
SPEAKER_CASES = 20
SYSTEMS = {  # in the card: how they are called there
    "model": "model",
    "half-duplex": "deaf while it speaks",
    "echo": "beside a loudspeaker",
    "script": "the script itself",
    "codec": "the script after the codec",
    "cascade": "cascade",
}
ECHOED = ("seen", "unseen", "silence", "control")  # groups of episodes that are played with an echo
TIMED_SECONDS = 30


def run(options: argparse.Namespace) -> int | None:
    """Make the card that `options` (see `command.add_arguments`) ask for, and print its bars."""
    out = Path(options.out)
    if (out / "card.json").exists() and not options.force:
        raise ValueError(f"{out} holds a card; choose another folder, or overwrite it with --force")
    for name in ("quick", "batch"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if find_spec("faster_whisper") is None:
        raise ImportError("the report card needs a recogniser: pip install 'minimoshi[train]'")
    torch.set_num_threads(1)  # small matrices: one thread is the fastest, and the frame is timed on one
    torch.set_flush_denormal(True)
    from .card import print_summary, write_card

    card, found = make_card(options)
    out.mkdir(parents=True, exist_ok=True)
    write_card(out, card, found)
    print_summary(card)
    print(f"-> {out / 'card.md'}")
    return None


def make_card(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Judged]]:
    """Measure everything: the card as it goes to card.json, and for each system what was judged."""
    started = time.perf_counter()
    cache = Path(options.cache or default_cache())
    cases = choose(load_cases(options.cases), options.quick, options.groups)
    others = {name: load_model(path) for name, path in _beside(options.beside).items()}
    model = load_model(options.model)
    sampling = _sampling(options, model)
    ear = Ear({name: _listener(name, str(cache)) for name in JUDGES}, Memo(cache))
    systems = _judge(options, model, others, cases, ear, cache)
    card: dict[str, Any] = {
        "model": options.model,
        "weights": fingerprint(model),
        "trained": model.generator.trained,
        "parameters": sum(p.numel() for p in model.generator.parameters()),
        "command": _command(options),
        "cases": digest(*(f"{case.name}{case.facts}" for case in cases)),
        "quick": options.quick,
        "judges": list(JUDGES),
        "sampling": sampling | {"seed": options.seed},
        "machine": machine(),
        "groups": dict(Counter(case.group for case in cases)),
        "systems": {name: summarise(found.cases, found.rows) for name, found in systems.items()},
        "intelligibility": intelligibility(systems),
        "read_aloud": read_aloud(model, ear, options.seed, **sampling),
        "written_down": options.transcriber
        and written_down(Transcriber.from_pretrained(options.transcriber), cases, ear),
        "speaker": speaker_consistency(cases, systems["model"]),
        "real_time": step_milliseconds(model, _user_sound(cases), options.seed, **sampling),
    }
    card["bars"] = [vars(bar) | {"passed": bar.passed} for bar in bars(card)]
    card["seconds"] = time.perf_counter() - started
    return card, systems


def _beside(asked: Sequence[str]) -> dict[str, str]:
    """Names and models to judge beside the first one."""
    found = pairs("--beside", "MODEL", asked)
    if taken := found.keys() & SYSTEMS.keys():
        raise ValueError(f"--beside: {min(taken)!r} stands in the card already; choose another name")
    return found


def _sampling(options: argparse.Namespace, model: FullDuplexDialogueModel) -> dict[str, float]:
    """How tokens are drawn: as asked for, or else as the model's own files say."""
    return {
        name: getattr(model.sampling, name) if getattr(options, name) is None else getattr(options, name)
        for name in ("temperature", "text_temperature", "pad_bonus")
    }


def _judge(
    options: argparse.Namespace,
    model: FullDuplexDialogueModel,
    others: dict[str, FullDuplexDialogueModel],
    cases: Sequence[Case],
    ear: Ear,
    cache: Path,
) -> dict[str, Judged]:
    """The model, the script, and all that is to be judged beside them, by name."""

    def runner(of: FullDuplexDialogueModel, **how: Any) -> Runner:
        return Runner(of, cache, seed=options.seed, batch_size=options.batch, **how, **_sampling(options, of))

    some = [case for case in cases if case.group in ("seen", "unseen")][:CODEC_CASES]
    decoded = ((c, Answer(through(model.codec, c.stereo()[0]), c.script())) for c in some)
    systems = {
        "model": Judged("model", runner(model)(cases), ear, cases),
        "script": Judged("script", ((case, script_answer(case)) for case in cases), ear, cases),
        "codec": Judged("script after the codec", decoded, ear, some),
    }
    for name, other in others.items():
        systems[name] = Judged(name, runner(other)(cases), ear, cases)
    if "half-duplex" in options.baseline:  # the same model, deaf while it speaks
        deaf = runner(model, half_duplex=True)
        systems["half-duplex"] = Judged("model, deaf while it speaks", deaf(cases), ear, cases)
    if "echo" in options.baseline:  # the same model, beside a loudspeaker
        some = [case for case in cases if case.group in ECHOED]
        systems["echo"] = Judged("model with an echo", runner(model, echo=ECHO)(some), ear, some)
    if "cascade" in options.baseline:
        from .cascade import Cascade

        cascade = Cascade(_listener("tiny.en", str(cache)))
        systems["cascade"] = Judged("cascade", ((case, cascade(case)) for case in cases), ear, cases)
    return systems


def choose(cases: Sequence[Case], quick: int | None, groups: Sequence[str] | None) -> list[Case]:
    """The episodes to run: of the groups asked for, the first `quick` of every skill; controls go with theirs."""
    unknown = set(groups or ()) - GROUPS.keys()
    if unknown:
        raise ValueError(f"there is no group {', '.join(sorted(unknown))}; choose from {', '.join(GROUPS)}")
    taken: Counter = Counter()
    chosen: list[Case] = []
    for case in cases:
        if case.group == "control" or groups and case.group not in groups:
            continue
        kind = case.name.rpartition("-")[0]
        taken[kind] += 1
        if quick is None or taken[kind] <= quick:
            chosen.append(case)
    names = {case.name for case in chosen}
    if groups is None or "control" in groups:
        chosen += [case for case in cases if case.facts["control"] in names]
    if not chosen:
        raise ValueError("no episodes are left to run")
    return chosen


def _listener(name: str, cache: str) -> Listener:
    return lambda wav, rate: judge(name, cache)(wav, rate)  # loaded when it is first asked


class Judged:
    """What one system did in every episode: `cases` and `rows` of `judge_case`, and the answers by name."""

    def __init__(self, name: str, answers: Iterable[tuple[Case, Answer]], ear: Ear, cases: Sequence[Case]):
        by_name = {case.name: case for case in cases}
        self.cases: list[Row] = []
        self.rows: list[Row] = []
        self.spoken: dict[str, Answer] = {}
        self.paths = {case.name: case.path for case in cases}
        for case, answer in tqdm(answers, desc=f"judging the {name}", unit="episode", total=len(cases)):
            row, rows = judge_case(case, answer, ear, by_name.get(case.facts["control"]))
            self.cases.append(row)
            self.rows += rows
            # as 16 bits: hundreds of episodes fit into memory
            self.spoken[case.name] = Answer((answer.moshi * 32767).astype(np.int16), answer.words)

    def sound(self, name: str) -> np.ndarray:
        """Moshi's channel of an episode, float32 [S]."""
        return self.spoken[name].moshi.astype(np.float32) / 32767


# ------------------------------------------------------------------------------------------------------- words


def intelligibility(systems: dict[str, Judged]) -> dict[str, Any] | None:
    """The first judge's word error rate on Moshi's speech, beside the same on the voice itself and after the codec.

    The voice is compared with the script, the model with its own text: what it should have said is another question.
    """
    after = systems["codec"].rows
    if not after:
        return None
    names = {row["case"] for row in after}
    voice = [row for row in systems["script"].rows if row["case"] in names]
    own = [row for row in systems["model"].rows if row["group"] in ("seen", "unseen") and row["heard"] and row["text"]]
    rates = {
        "voice": _word_errors(voice, "expected"),
        "codec": _word_errors(after, "expected"),
        "model": _word_errors(own, "text"),
    }
    known = {name: found["rate"] for name, found in rates.items() if found}
    return rates | {
        "codec_adds": known["codec"] - known["voice"],
        "model_adds": known["model"] - known["codec"] if "model" in known else None,
    }


def _word_errors(rows: Sequence[Row], reference: str) -> dict[str, Any] | None:
    return rate([errors(row[reference], row["heard"].get(JUDGES[0], "")) for row in rows])


def speaker_consistency(cases: Sequence[Case], judged: Judged) -> dict[str, float] | None:
    """Mean cosine of the model's voice with the script's, beside that of the script's voice in two episodes.

    None where Moshi never spoke, or where the speaker encoder (resemblyzer) is not installed.
    """
    if find_spec("resemblyzer") is None:
        return None
    talked = {row["case"] for row in judged.cases if sum(end - start for start, end in row["talk"]) > 1.5}
    some = [case for case in cases if case.name in talked and case.group in ("seen", "unseen")][:SPEAKER_CASES]
    if len(some) < 2:
        return None
    voices = [case.stereo()[0] for case in some]
    own = [same_speaker(voice, judged.sound(case.name)) for voice, case in zip(voices, some, strict=True)]
    itself = [same_speaker(a, b) for a, b in zip(voices, voices[1:], strict=False)]
    user = [same_speaker(voice, case.stereo()[1]) for voice, case in zip(voices, some, strict=True)]
    return {"model": float(np.mean(own)), "itself": float(np.mean(itself)), "user": float(np.mean(user))}


def _user_sound(cases: Sequence[Case]) -> np.ndarray:
    """Half a minute of users, float32 [S]."""

    def sounds() -> Iterator[np.ndarray]:
        seconds = 0.0
        for case in cases:
            if seconds >= TIMED_SECONDS:
                return
            wav = case.stereo()[1]
            seconds += len(wav) / 24_000
            yield wav

    return np.concatenate(list(sounds()))


def _command(options: argparse.Namespace) -> str:
    """What to type to get this card again."""
    words = ["minimoshi", "evaluate", "dialogue", options.model, "--cases", options.cases, "--out", options.out]
    for name in ("transcriber", "quick", "temperature", "text_temperature", "pad_bonus", "seed"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += [word for one in options.beside for word in ("--beside", one)]
    for name in ("baseline", "groups"):
        words += [f"--{name}", *value] if (value := getattr(options, name)) else []
    return shlex.join(os.fspath(word) for word in words)
