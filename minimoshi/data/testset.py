"""A test set for codecs: four groups of clips that training never hears, with texts and phone times.

    python -m minimoshi.data.testset OUT [--allison FOLDER] [--librivox FOLDER] [--clips 40] [--seed 0]

The groups: "moshi" (Moshi's voice), "seen" (users' voices of training), "unseen" (synthetic voices of tests
only), "human" (real people, tests only). Synthetic voices say sentences that are held out, spread evenly over the
group's voices. OUT gets one FLAC a clip (24 kHz, mono, 16 bit, silence trimmed, loudness as in the corpus) and
`transcripts.json`, a list of {"file", "text", "speaker", "language", "group", "phones"}; phones are
[label, start, end] in seconds, empty where nobody knows them. A build that was interrupted goes on.

The human voices come from packages that Debian unpacks without installing:

    apt-get download asterisk-core-sounds-en asterisk-core-sounds-en-g722 pocketsphinx-testdata
    for package in *.deb; do dpkg-deb -x "$package" FOLDER; done
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
from pathlib import Path

import soundfile
from tqdm import tqdm

from .cast import speaker
from .corpus import is_held_out, prepare, random_speaker, read_recording
from .sentences import sentences
from .voices import SAMPLE_RATE, Speech, align, open_voice
from .voices.alignment import plain_words

GROUPS = {"moshi": ("heart",), "seen": ("crowd", "slt", "rms", "kal16"), "unseen": ("kumo", "blend", "awb")}
_INDEX = "transcripts.json"
_BUILD = "build.jsonl"
_WORDS = range(6, 31)  # of an Allison prompt


def build_test_set(
    folder: str | Path, human: dict[str, str | Path] | None = None, seed: int = 0, clips: int = 40
) -> list[dict]:
    """Make a test set of at least `clips` clips a group, or what is missing of it; returns its rows.

    human: folders with the unpacked packages, {"allison": FOLDER, "librivox": FOLDER}; without, there is no group
    "human". Allison gives `clips` prompts drawn by the seed, PocketSphinx's test data the ten clips it has. Raises
    FileNotFoundError for a folder without the recordings, ValueError when `folder` holds another test set,
    ImportError naming a missing package.
    """
    folder, human = Path(folder), human or {}
    unknown = human.keys() - {"allison", "librivox"}
    if unknown or clips < 1:
        raise ValueError(f"human {sorted(human)}, {clips} clips: expected 'allison', 'librivox', at least one clip")
    settings = {"seed": seed, "clips": clips, "human": sorted(human)}
    wanted = _synthetic(seed, clips)
    if "allison" in human:
        wanted += _allison(Path(human["allison"]), seed, clips)
    if "librivox" in human:
        wanted += _librivox(Path(human["librivox"]))
    folder.mkdir(parents=True, exist_ok=True)
    rows = _begin(folder, settings)
    done = {row["file"] for row in rows}
    with open(folder / _BUILD, "a", encoding="utf-8") as build:
        for clip in tqdm([clip for clip in wanted if clip["file"] not in done], desc="test set", unit="clip"):
            row = _make(folder, clip)
            build.write(json.dumps(row) + "\n")
            build.flush()
            rows.append(row)
    order = [clip["file"] for clip in wanted]
    rows.sort(key=lambda row: order.index(row["file"]))
    unfinished = folder / f"{_INDEX}.unfinished"
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    unfinished.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    os.replace(unfinished, folder / _INDEX)
    return rows


def _begin(folder: Path, settings: dict) -> list[dict]:
    """The rows that are already made; the first line of their file tells of which test set."""
    build = folder / _BUILD
    if not build.exists():
        build.write_text(json.dumps(settings) + "\n", encoding="utf-8")
        return []
    first, *lines = build.read_text(encoding="utf-8").splitlines(keepends=True)
    if json.loads(first) != settings:
        raise ValueError(f"{folder} holds a test set of {first.strip()}, not of {settings}: choose another folder")
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):  # the last line was cut off in the writing
        build.write_text("".join([first, *whole]), encoding="utf-8")
    return [json.loads(line) for line in whole]


def _clip(name: str, number: int | str, group: str, text: str, **source) -> dict:
    """What there is to make: the row of the index, and where its sound comes from."""
    row = {"file": f"{name}_{number}.flac", "text": text, "speaker": name, "language": "en", "group": group}
    return row | source


def _synthetic(seed: int, clips: int) -> list[dict]:
    """Held-out sentences for the voices of each group in turn, none twice in a group."""
    wanted = []
    for group, names in GROUPS.items():
        said: set[str] = set()
        for i in range(clips):
            name = names[i % len(names)]
            rng = random.Random(f"{seed}/test set/{name}/{i}")
            text = next(t for t in sentences(rng.random()) if is_held_out(t) and t not in said)
            said.add(text)
            voice = speaker(name).voice
            if voice == "hibari:crowd":
                voice = random_speaker(rng)
            wanted.append(_clip(name, f"{i // len(names):03}", group, text, voice=voice))
    return wanted


def _allison(folder: Path, seed: int, clips: int) -> list[dict]:
    """Prompts of 6 to 30 words that say what is written, drawn by the seed."""
    texts = _one(folder, "core-sounds-en.txt.gz", "asterisk-core-sounds-en")
    sounds = _one(folder, "en_US_f_Allison", "asterisk-core-sounds-en-g722")
    prompts: dict[str, str] = {}
    for line in gzip.decompress(texts.read_bytes()).decode("utf-8").splitlines():
        name, colon, text = line.partition(":")
        text = " ".join(text.split())
        plain = not set("[]()<>*#") & set(text) and "beep" not in text.lower()
        if colon and plain and len(plain_words(text)) in _WORDS and text not in prompts.values():
            prompts[name.strip()] = text
    names = sorted(name for name in prompts if (sounds / f"{name}.g722").exists())
    if len(names) < clips:
        raise FileNotFoundError(f"{sounds}: {len(names)} prompts of 6 to 30 words, expected at least {clips}")
    drawn = random.Random(f"{seed}/test set/allison").sample(names, clips)
    return [
        _clip("allison", name.replace("/", "-"), "human", prompts[name], source=str(sounds / f"{name}.g722"))
        for name in drawn
    ]


def _librivox(folder: Path) -> list[dict]:
    """The two speakers of PocketSphinx's test data, with the transcripts that lie beside them."""
    wanted = []
    for name, transcripts in (("librivox", "librivox/transcription"), ("cards", "cards/cards.transcription")):
        index = _one(folder, transcripts, "pocketsphinx-testdata")
        for line in index.read_text(encoding="utf-8").splitlines():
            text, _, stem = line.replace("<s>", "").rpartition("</s>")
            source = index.parent / f"{stem.strip(' ()')}.wav"
            number = source.stem.rpartition("-")[2]
            wanted.append(_clip(name, number, "human", text.strip(), source=str(source)))
    return wanted


def _one(folder: Path, name: str, package: str) -> Path:
    """The one file or folder of that name below `folder`."""
    for found in sorted(folder.rglob(name)):
        return found
    raise FileNotFoundError(
        f"{folder}: no {name} here or below; it comes with 'apt-get download {package}', unpacked by 'dpkg-deb -x'"
    )


def _make(folder: Path, clip: dict) -> dict:
    """Speak or read one clip and write its FLAC; returns its row for the index."""
    source, voice = clip.get("source"), clip.get("voice")
    if source is None:
        speech = prepare(open_voice(voice)(clip["text"]))
    else:
        speech = prepare(Speech(read_recording(Path(source))))
        try:
            speech = align(speech.wav, clip["text"])
        except ValueError:  # a word that the aligner does not know: the clip is good, its phones are unknown
            pass
    unfinished = folder / f"{clip['file']}.unfinished"
    soundfile.write(unfinished, speech.wav, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(unfinished, folder / clip["file"])
    end = len(speech.wav) / SAMPLE_RATE  # a voice may let its last phone ring out in what was trimmed
    phones = [[p.label, round(p.start, 3), round(min(p.end, end), 3)] for p in speech.phones if p.start < end]
    return {key: clip[key] for key in ("file", "text", "speaker", "language", "group")} | {"phones": phones}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.data.testset", description=__doc__.split("\n")[0]
    )
    parser.add_argument("out", metavar="OUT", help="folder for the clips and transcripts.json")
    parser.add_argument("--allison", metavar="FOLDER", help="unpacked asterisk-core-sounds-en and -en-g722")
    parser.add_argument("--librivox", metavar="FOLDER", help="unpacked pocketsphinx-testdata")
    parser.add_argument("--clips", type=int, default=40, help="of each group (default: 40)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    given = {"allison": options.allison, "librivox": options.librivox}
    human = {name: folder for name, folder in given.items() if folder}
    rows = build_test_set(options.out, human, options.seed, options.clips)
    for group in dict.fromkeys(row["group"] for row in rows):
        of_group = [row for row in rows if row["group"] == group]
        seconds = sum(soundfile.info(Path(options.out) / row["file"]).duration for row in of_group)
        print(f"{group:8} {len(of_group):4} clips {seconds:7.1f} s")


if __name__ == "__main__":
    main()
