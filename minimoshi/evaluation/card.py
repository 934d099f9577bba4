"""The card on paper: Markdown, JSON, figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..mimi import MimiAudioCodec
from . import baselines
from .clips import GROUPS, Clip
from .figures import draw_figures
from .systems import CODEC2, OPUS, ORIGINAL, UNQUANTISED

ENOUGH_CLIPS = 40  # of a group
DEFINITIONS = f"""\
- **Test set**: made by `python -m minimoshi.data.testset FOLDER --allison PACKAGES --librivox PACKAGES`; two cards
  with the same test set number had the same clips.
- **Word error rate**: errors over words of a speech recogniser that knows nothing of the codec, errors of a clip capped
  at its words, numbers compared digit by digit. *Lost* is what the codec adds to the errors on the untouched clips.
  Brackets: 90 % of the rates when clips are drawn again (bootstrap over clips).
- **STOI** (0 to 1) and **PESQ** (wide band, 1 to 4.6) compare with the original. **Mel**: mean difference of 80-band
  log-mel spectra in dB. **MOS**: the rating from 1 to 5 that DNSMOS P.808 expects, without the original. **Speaker**:
  cosine of Resemblyzer embeddings with the original's.
- **Without codebooks**: through both projections of the quantiser, but not rounded to codes: the codes' ceiling.
- **Codec 2** at {baselines.CODEC2_BITS} bit/s (8 kHz), **Opus** at {baselines.OPUS_BITS} bit/s: same clips, same run.
- **Usage**: perplexity of a level's codes over its size. **Comes back**: share of codes that are the same when the
  decoded sound is encoded again, also after a shift of 40 ms.
- **Late**: phones are those heard so long before a frame; of 0, 40 and 80 ms, that after which level 1 names them best.
- **Phone**, **speaker**: how often the commonest phone (speaker) of a token, counted on four fifths of the clips, is
  right on the rest; frames of speech only; in brackets, saying the commonest always. **ABX**: errors in telling whether
  a frame holds the same phone as another frame of that voice, on the latent of the first codebooks; .5 is guessing.
"""


def system_name(system: str) -> str:
    """As the card writes it: "codec 8" -> "8 codebooks"."""
    if system.startswith("codec "):
        number = system.removeprefix("codec ")
        return f"{number} codebook{'s' * (number != '1')}"
    return {UNQUANTISED: "without codebooks", CODEC2: "Codec 2", OPUS: "Opus", ORIGINAL: "original"}[system]


def write_card(folder: Path, card: dict[str, Any], clips: list[Clip], codec: MimiAudioCodec) -> None:
    """card.md, card.json, clips.json and the figures, into a folder that exists."""
    rows = card.pop("clips")
    pictures = draw_figures(folder, card, clips, codec)
    _write_json(folder / "clips.json", rows)
    _write_json(folder / "card.json", card)
    (folder / "card.md").write_text(markdown(card, rows, pictures), encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def print_summary(card: dict[str, Any]) -> None:
    """Words, sound and bars, for the screen."""
    print(_words(card), _sound(card), bar_table(card["bars"]), f"{card['seconds']:.0f} s", sep="\n\n")


def markdown(card: dict[str, Any], rows: list[dict[str, Any]], pictures: dict[str, str]) -> str:
    """The whole card. pictures: {file name: what is to be seen in it}."""
    groups = "\n".join(
        f"- **{name}**, {GROUPS.get(name, name)}: {group['clips']} clips, {group['words']} words, "
        f"{group['seconds']:.0f} s; {', '.join(group['speakers'])}"
        for name, group in card["groups"].items()
    )
    size = f"{card['parameters'] / 1e6:.2f} million parameters, {card['weights_mb']:.1f} MB"
    parts = [
        f"# Report card: {card['codec']}",
        f"{card['quantizers']} codebooks of {card['codebook_size']} codes, {card['bits_per_second']:.0f} bit/s; "
        f"{size}; weights `{card['weights']}`. Test set `{card['test_set']}`. Made by",
        f"```bash\n{card['command']}\n```",
        f"in {card['seconds']:.0f} s on one thread of {card['machine']['processor']}, torch {card['machine']['torch']}."
        + _caution(card),
        groups,
        "## Bars",
        bar_table(card["bars"]),
        "## Words",
        _words(card),
        "## Sound",
        _sound(card),
        *([] if card["quick"] else ["## By number of codebooks", _levels(card)]),
        "## Tokens",
        _tokens(card),
        "## Figures",
        "\n\n".join(f"![{what}]({name})" for name, what in pictures.items()),
        "## What the first judge heard",
        _heard(card, rows),
        "## How it is measured",
        DEFINITIONS,
    ]
    return "\n\n".join(parts)


def _caution(card: dict[str, Any]) -> str:
    few = [name for name, group in card["groups"].items() if group["clips"] < ENOUGH_CLIPS]
    return f" Fewer than {ENOUGH_CLIPS} clips in {', '.join(few)}: too few to judge by." if few else ""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, without the columns that hold nothing."""
    kept = [i for i, name in enumerate(head) if not name or any(row[i] != "–" for row in rows)]
    lines = [[line[i] for i in kept] for line in (head, ["---"] * len(head), *rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(rate: dict[str, float] | None, interval: bool = False) -> str:
    """A rate in per cent, with its interval if asked for."""
    if rate is None:
        return "–"
    low_high = f" [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]" if interval else ""
    return f"{100 * rate['rate']:.1f}{low_high}"


_SIGNS = {(True, False): "≤", (False, False): "≥", (True, True): "<", (False, True): ">"}


def bar_table(bars: list[dict[str, Any]]) -> str:
    """What was wanted, what was found. bars: those of `bars.Bar` as dicts, with `passed`."""
    verdict = {True: "reached", False: "**missed**", None: "not measured"}
    rows = [
        [
            bar["what"],
            f"{number(bar['value'], 3)}{bar['unit']}",
            f"{_SIGNS[bar['at_most'], bar['strict']]} {bar['limit']:.3g}{bar['unit']}",
            verdict[bar["passed"]],
        ]
        for bar in bars
    ]
    return table(["bar", "here", "wanted", ""], rows)


def _words(card: dict[str, Any]) -> str:
    best = f"codec {card['quantizers']}"
    others = [s for s in (UNQUANTISED, CODEC2, OPUS) if any(s in g["systems"] for g in card["groups"].values())]
    head = ["word error rate, %", "judge", "original", system_name(best), "lost", *map(system_name, others)]
    rows = []
    for name, group in card["groups"].items():
        for judge in card["judges"]:
            wer = {system: found["wer"].get(judge) for system, found in group["systems"].items()}
            lost = group["systems"][best]["added"].get(judge)
            cells = [percent(wer[ORIGINAL]), percent(wer[best], True), percent(lost, True)]
            rows.append([name, judge, *cells, *(percent(wer[system]) for system in others)])
    return table(head, rows)


def _sound(card: dict[str, Any]) -> str:
    best = f"codec {card['quantizers']}"
    rows = []
    for name, group in card["groups"].items():
        for system in (ORIGINAL, best, UNQUANTISED, CODEC2, OPUS):
            if (found := group["systems"].get(system)) and (system != ORIGINAL or "mos" in found):
                cells = [number(found.get(key), digits) for key, digits in _MEASURES.items()]
                rows.append([name, system_name(system), *cells])
    return table(["", "", "STOI", "PESQ", "mel, dB", "MOS", "speaker"], rows)


_MEASURES = {"stoi": 3, "pesq": 2, "mel": 2, "mos": 2, "speaker": 3}


def _levels(card: dict[str, Any]) -> str:
    rows = []
    for name, group in card["groups"].items():
        for system, found in group["systems"].items():
            if system.startswith("codec "):
                cells = [number(found.get(key), digits) for key, digits in _MEASURES.items()]
                rows.append([name, system_name(system), percent(found["wer"].get(card["judges"][0])), *cells])
    head = ["", "", f"word error rate, % ({card['judges'][0]})", "STOI", "PESQ", "mel, dB", "MOS", "speaker"]
    return table(head, rows)


def _tokens(card: dict[str, Any]) -> str:
    tokens, probes = card["tokens"], card["probes"]
    head = ["codebook", "perplexity", "usage", "entropy, bits", "comes back", "after 40 ms"]
    columns = [
        [number(p, 0) for p in tokens["perplexity"]],
        [number(p / card["codebook_size"], 2) for p in tokens["perplexity"]],
        [number(p, 2) for p in tokens["entropy"]],
        [number(p, 3) for p in tokens["idempotence"]],
        [number(p, 3) for p in tokens["idempotence_40ms"]],
    ]
    text = f"{tokens['frames']} frames."
    if probes:
        head += [
            f"phone ({probes['phone_chance']:.3f})",
            f"speaker ({probes['speaker_chance']:.3f})",
            "ABX error, up to this one",
        ]
        columns += [[number(p, 3) for p in probes[key]] for key in ("phone", "speaker", "abx")]
        text += (
            f" Probes on {probes['frames']} of them, {probes['clips']} clips of {len(probes['speakers'])} speakers "
            f"whose phones are known, {1000 * probes['late']:.0f} ms late."
        )
    if other := card.get("against"):
        head += [f"phone, {other['codec']}", f"ABX, {other['codec']}"]
        columns += [[number(p, 3) for p in other[key]] for key in ("phone", "abx")]
    names = ["1 (semantic)", *map(str, range(2, card["quantizers"] + 1))]
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return f"{text}\n\n{table(head, rows)}"


def _heard(card: dict[str, Any], rows: list[dict[str, Any]], each: int = 3) -> str:
    best, judge = f"codec {card['quantizers']}", card["judges"][0]
    lines = []
    for group in card["groups"]:
        own = [row for row in rows if row["group"] == group][:each]
        lines += [[group, row["text"], row["systems"][best]["heard"][judge]] for row in own]
    return table(["", "said", f"heard after {system_name(best)}"], lines)
