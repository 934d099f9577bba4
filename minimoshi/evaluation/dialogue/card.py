"""The card on paper: Markdown, JSON, figures, and episodes to listen to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..card import bar_table, number, percent, table
from . import measures
from .figures import draw_figures
from .hearing import ALIKE
from .report import SYSTEMS, Judged
from .run import ECHO
from .scripts import GROUPS
from .summary import FELL_SILENT, STAMINA

ENOUGH = 200  # episodes; fewer are a first look
DEFINITIONS = f"""\
- **Episodes**: made by `python -m minimoshi.evaluation.dialogue.cases FOLDER`; two cards with the same number had the
  same ones. The model runs freely, as in a live session: it hears the user up to a frame and speaks that frame. A
  listener hears it one frame (80 ms) later than the times here say, and later still by the way to their ear.
- **The judges** never see the model's text. They hear every stretch of Moshi's speech that begins after the user's
  turn, or at most {measures.EARLY} s before its end, and before the next one. An answer is right if, of all answers of
  the mini-world, the script's is the nearest to what a judge wrote, with the same numbers and at most
  {100 * ALIKE:.0f} % of its characters another; recognisers write "the sun was yellow". *Word for word*: without that
  leniency, but numbers in digits or words, and words that sound the same taken as the same. The second judge is asked
  only when the first heard something else. What is wrong in "the script itself" is the judges' fault, and "after the
  codec" is the best that a model with this codec could reach.
- **Brackets**: 90 % of the rates when exchanges are drawn again.
- **Latency**: from the user's last sound to Moshi's first; the turn is taken if that is less than
  {measures.TAKEOVER} s. **In the user's pause** the turn is taken by {measures.LONG:.0f} s of speech or more than
  {measures.MANY} words (the rule of Full-Duplex-Bench); *any sound* counts everything.
- **Breaking in**: how long after the end of the user's words Moshi falls silent (below 0: before it); *fell silent*
  within {FELL_SILENT:.0f} s. Controls are the same episodes, the same sound of the same user, without the words that
  break in: how often would Moshi have been silent then anyway, and does it count to the end?
- **Beside a loudspeaker**: the same model hears its own sound in the user's microphone,
  {-ECHO.gain_db:.0f} dB softer and {ECHO.delay} s late.
- **Other names** are of models that were judged beside it (`--beside`), in the same episodes.
- **Long** conversations count in the right answers alone, not in what stands under turns and breaking in.
- **False starts**: stretches of speech in episodes in which nobody speaks: silence and noise at -70, -60, -50 dB.
- **Turns**: seconds a minute of speech, pauses (silence between two stretches of one speaker), gaps (of two speakers)
  and overlap; silences from 0.2 s on. Both speakers together.
- **Intelligibility**: the first judge's word errors: on the script's voice, on that voice after the codec, and on the
  model's speech beside its own text. `say` is given answers of the mini-world to read aloud; `transcribe` writes
  down users of whole episodes, the judge stretch by stretch. **Speaker**: cosine of Resemblyzer embeddings.
- **Real time**: processor time of a live session's step, hear, think and speak, on one thread.
"""


def write_card(folder: Path, card: dict[str, Any], systems: dict[str, Judged]) -> None:
    """card.md, card.json, exchanges.json, figures and sounds, into a folder that exists."""
    pictures = draw_figures(folder, card, systems)
    for name, found in systems.items():
        _write_json(folder / f"exchanges-{name}.json", found.rows)
    _write_json(folder / "card.json", card)
    (folder / "card.md").write_text(markdown(card, systems["model"].rows, pictures), encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def print_summary(card: dict[str, Any]) -> None:
    """Answers, timing and bars, for the screen."""
    print(_accuracy(card), _timing(card), bar_table(card["bars"]), f"{card['seconds']:.0f} s", sep="\n\n")


def markdown(card: dict[str, Any], rows: Sequence[dict[str, Any]], pictures: dict[str, str]) -> str:
    """The whole card. pictures: {file name: what is to be seen in it}."""
    groups = "\n".join(f"- **{name}**, {GROUPS[name]}: {many} episodes" for name, many in card["groups"].items())
    options = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in card["sampling"].items())
    parts = [
        f"# How {card['model']} behaves",
        f"Generator of {card['parameters'] / 1e6:.2f} million parameters, weights `{card['weights']}`; {options}. "
        f"Episodes `{card['cases']}`. Made by",
        f"```bash\n{card['command']}\n```",
        f"in {card['seconds']:.0f} s on one thread of {card['machine']['processor']}, torch {card['machine']['torch']}."
        + _caution(card),
        groups,
        "## Bars",
        bar_table(card["bars"]),
        "## Right answers",
        _accuracy(card),
        "By skill, of the model:",
        _skills(card),
        _stamina(card),
        "## Taking turns",
        _timing(card),
        "## When the user breaks in",
        _breaking(card),
        "## Speech",
        _speech(card),
        "## Figures",
        "\n\n".join(f"![{what}]({name})" for name, what in pictures.items()),
        "## What the judges heard",
        _heard(rows),
        "## How it is measured",
        DEFINITIONS,
    ]
    return "\n\n".join(part for part in parts if part)


def _caution(card: dict[str, Any]) -> str:
    many = sum(card["groups"].values())
    notes = [] if card["trained"] else ["This model is not trained."]
    if many < ENOUGH:
        notes.append(f"Only {many} episodes: too few to judge by.")
    return " " + " ".join(notes) if notes else ""


def _systems(card: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(SYSTEMS.get(name, name), found) for name, found in card["systems"].items()]


def _accuracy(card: dict[str, Any]) -> str:
    groups = list(card["systems"]["model"]["accuracy"])
    rows = []
    for name, found in _systems(card):
        shares = [found["accuracy"].get(group, {}).get("all") for group in groups]
        rows.append([name, *(percent(s, True) for s in shares)])
        for key, what in (("exact", "word for word"), ("text", "in its own text")):
            if key == "exact" or name == "model":
                rows.append([f"{name}, {what}", *(f"{100 * s[key]:.1f}" if s else "–" for s in shares)])
    return table(["right answers, %", *groups], rows)


def _skills(card: dict[str, Any]) -> str:
    accuracy = card["systems"]["model"]["accuracy"]
    skills = list(dict.fromkeys(skill for found in accuracy.values() for skill in found if skill != "all"))
    rows = [[skill, *(_of_skill(found.get(skill)) for found in accuracy.values())] for skill in skills]
    return table(["right (of), %", *accuracy], rows)


def _stamina(card: dict[str, Any]) -> str:
    told = {name: {part["from"]: part for part in found["stamina"]} for name, found in _systems(card)}
    starts = sorted({start for parts in told.values() for start in parts})
    if not starts:
        return ""
    head = ["right (of), %", *(f"{start} to {start + STAMINA} s" for start in starts)]
    rows = [[name, *(_of_skill(parts.get(start)) for start in starts)] for name, parts in told.items() if parts]
    return "Long conversations, by when it was asked:\n\n" + table(head, rows)


def _of_skill(found: dict[str, Any] | None) -> str:
    return f"{percent(found)} ({found['of']})" if found else "–"


def _timing(card: dict[str, Any]) -> str:
    head = ["", "turn taken, %", "median latency, s", "nine of ten, s", "in pauses, %", "any sound, %"]
    head += ["false starts/min", "speech s/min", "pauses", "gaps", "overlap"]
    rows = []
    for name, found in _systems(card):
        take, pauses, starts = found["takeover"], found["pauses"], found["false_starts"] or {}
        turns = [number((found["turns"] or {}).get(key), 1) for key in ("ipu", "pause", "gap", "overlap")]
        cells = [percent(take["took"]), number(take["median"]), number(take["p90"])]
        cells += [percent(pauses["taken"]), percent(pauses["sound"]), number(starts.get("per_minute"))]
        rows.append([name, *cells, *turns])
    return table(head, rows)


def _breaking(card: dict[str, Any]) -> str:
    head = ["the user says", "", "was speaking, %", "fell silent, %", "after, s", "right answer, %"]
    said = {"stop": '"stop"', "question": "a question", "murmur": '"mhm", "yes", "right"'}
    rows = []
    for name, found in _systems(card):
        for skill, what in said.items():
            for kind, label in (("broken", name), ("control", f"{name}, control")):
                own = found[skill][kind]
                cells = [percent(own["speaking"]), percent(own["silent"]), number(own["after"]), percent(own["right"])]
                rows.append([what, label, *cells])
    return table(head, rows)


def _speech(card: dict[str, Any]) -> str:
    words, speaker, time = card["intelligibility"], card["speaker"], card["real_time"]
    rows = []
    if words:
        named = {"voice": "the script's voice", "codec": "after the codec", "model": "the model"}
        rows += [[f"word error rate, %, {what}", percent(words[key], True)] for key, what in named.items()]
    if aloud := card["read_aloud"]:
        rows.append(["word error rate, %, of `say`: texts read aloud", percent(aloud, True)])
    for group, found in (card["written_down"] or {}).items():
        own, judge = percent(found["transcriber"], True), percent(found["judge"], True)
        rows.append([f"word error rate, %, of `transcribe`, {group} users (the first judge's)", f"{own} ({judge})"])
    if speaker:
        rows.append(["speaker, the model and the script's voice", number(speaker["model"], 3)])
        rows.append(["speaker, the script's voice in two episodes", number(speaker["itself"], 3)])
        rows.append(["speaker, the script's voice and the user", number(speaker["user"], 3)])
    rows.append(["a frame of a live session, median, ms", number(time["median_ms"], 1)])
    rows.append(["99 of 100 frames, ms", number(time["p99_ms"], 1)])
    return table(["", ""], rows)


def _heard(rows: Sequence[dict[str, Any]], each: int = 2) -> str:
    """Of every skill the first right and wrong answers."""
    lines, taken = [], {}
    for row in rows:
        key = row["skill"], row["right"]
        taken[key] = taken.get(key, 0) + 1
        if taken[key] <= each and row["group"] != "control":
            heard = " / ".join(dict.fromkeys(text.strip() for text in row["heard"].values())) or "(nothing)"
            lines.append([row["case"], row["expected"], heard, row["text"], "" if row["right"] else "**wrong**"])
    return table(["", "script", "heard", "the model's text", ""], sorted(lines))
