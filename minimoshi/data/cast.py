"""Who speaks: Moshi, the users heard in training, and the people who are heard in tests only.

One table, `CAST`, decides. Whatever makes training data asks it: `refuse_held_out_voice` for synthetic voices,
`is_reserved` for files of recordings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Speaker:
    """voice: for `open_voice`, "hibari:crowd" for a new speaker with every sentence, "" for a human being.

    folders: names that the folders of this person's recordings have in their packages.
    """

    name: str
    role: Literal["moshi", "training", "held out"]
    voice: str = ""
    folders: tuple[str, ...] = ()


CAST = (
    Speaker("heart", "moshi", "hibari"),
    Speaker("crowd", "training", "hibari:crowd"),
    Speaker("slt", "training", "flite:slt"),
    Speaker("rms", "training", "flite:rms"),
    Speaker("kal16", "training", "flite:kal16"),
    Speaker("joe", "training", "piper:joe"),
    Speaker("ked", "training", "festival:ked"),
    Speaker("slt by a model", "training", "festival:slt"),
    Speaker("june", "training", folders=("fr_CA_f_June",)),
    Speaker("carlo", "training", folders=("it_IT_m_Carlo",)),
    Speaker("topal", "training", folders=("ru_RU_f_IvrvoiceRU",)),
    Speaker("awb", "held out", "flite:awb"),
    Speaker("kumo", "held out", "kokoro:jm_kumo"),
    Speaker("blend", "held out", "kokoro:jm_kumo=0.6,jf_alpha=0.4"),
    # the same woman in two languages
    Speaker("allison", "held out", folders=("en_US_f_Allison", "es_MX_f_Allison")),
    Speaker("librivox", "held out", folders=("pocketsphinx/test/data/librivox",)),
    Speaker("cards", "held out", folders=("pocketsphinx/test/data/cards",)),
)
_HELD_OUT = [row for row in CAST if row.role == "held out"]
# All of Kokoro: whoever is not held out there has a share in a blend that is.
_HELD_OUT_ENGINES = ("kokoro",)
# Recordings of June and Carlo that lie in data_samples, where learners and tests meet them, and the LibriVox clips.
_SAMPLES = ("agent-alreadyon", "agent-user", "agent-pass", "auth-incorrect")
_CLIPS = "sense_and_sensibility_01_austen_64kb-"


def speaker(name: str) -> Speaker:
    """The row of `CAST` with that name; ValueError lists the names there are."""
    for row in CAST:
        if row.name == name:
            return row
    raise ValueError(f"speaker {name!r}: expected one of {', '.join(row.name for row in CAST)}")


def is_reserved(path: Path) -> bool:
    """Whether a recording is kept for tests and samples, by its name and its folders' names: never train on it."""
    path = path.resolve()
    inside = f"/{path.parent.as_posix()}/"
    folders = ["data_samples", *(folder for row in _HELD_OUT for folder in row.folders)]
    return path.stem in _SAMPLES or path.name.startswith(_CLIPS) or any(f"/{f}/" in inside for f in folders)


def refuse_held_out_voice(voice: str) -> None:
    """ValueError if the synthetic voice of that name is kept for tests."""
    if voice.partition(":")[0] in _HELD_OUT_ENGINES or voice in {row.voice for row in _HELD_OUT if row.voice}:
        raise ValueError(f"voice {voice!r} is held out for tests (minimoshi.data.cast): train on another one")
