"""What a real person can ask Moshi: recorded prompts of a telephone system, put together to questions.

Allison (asterisk-core-sounds-en) has said every number, "plus", "minus" and a few greetings, but never
"what is". The words around the numbers therefore come from a synthetic voice that training never hears; whatever the
right answer depends on is human. The recordings come from packages that Debian unpacks without installing:

    apt-get download asterisk-core-sounds-en-g722
    dpkg-deb -x asterisk-core-sounds-en-g722*.deb FOLDER
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ...config import SAMPLE_RATE
from ...data.miniworld import Exchange, Say
from ...data.miniworld.bank import trim
from ...data.miniworld.skills import NUMBERS
from ...data.recordings import read_recording
from ...data.voices import Span, Speech, open_voice

SPEAKABLE = ("greeting", "sum", "neighbour", "count", "repeat")
FRAME_VOICE = "kokoro:jf_alpha"  # of the words around the numbers
RECORDED = {
    "hello": "hello",
    "goodbye": "goodbye",
    "thank you": "auth-thankyou",
    "plus": "letters/plus",
    "minus": "digits/minus",
    **{number: f"digits/{value}" for value, number in enumerate(NUMBERS)},
}
FRAMES = ("what is", "what comes before", "what comes after", "count to", "repeat after me")
_GAP = 0.06  # seconds between two pieces


def can_be_asked(exchange: Exchange) -> bool:
    """Whether there are pieces for all that the user says in it."""
    return not exchange.breaks and all(not say.manner and pieces_of(say.text) for say in exchange.user)


def pieces_of(text: str) -> list[str]:
    """The recordings and frames a text is made of, in order; [] if it cannot be made."""
    if text in RECORDED or text in FRAMES:
        return [text]
    for frame in FRAMES:
        rest = text.removeprefix(f"{frame} ").split()
        if text.startswith(f"{frame} ") and all(word in RECORDED for word in rest):
            return [frame, *rest]
    return []


def human_takes(folder: str | Path, says: Iterable[Say]) -> Iterator[tuple[Say, Speech]]:
    """Each of these texts as it can be put together, silence trimmed. `folder` holds the unpacked package.

    Raises FileNotFoundError naming the package, ValueError for a text that cannot be made.
    """
    sounds = next(iter(sorted(Path(folder).rglob("en_US_f_Allison"))), None)
    if sounds is None:
        raise FileNotFoundError(
            f"{folder}: no en_US_f_Allison here or below; it comes with 'apt-get download "
            "asterisk-core-sounds-en-g722', unpacked by 'dpkg-deb -x'"
        )
    made: dict[str, Speech] = {}
    for say in says:
        pieces = pieces_of(say.text)
        if not pieces:
            raise ValueError(f"there are no recordings of {say.text!r}")
        for piece in pieces:
            made[piece] = made.get(piece) or _piece(sounds, piece)
        yield say, trim(_in_a_row([made[piece] for piece in pieces]))


def _piece(sounds: Path, text: str) -> Speech:
    if text in FRAMES:
        return trim(open_voice(FRAME_VOICE)(text))
    wav = read_recording(sounds / f"{RECORDED[text]}.g722")
    words = text.split()
    edges = np.linspace(0, len(wav) / SAMPLE_RATE, len(words) + 1)
    return trim(Speech(wav, [Span(w, a, b) for w, a, b in zip(words, edges, edges[1:], strict=False)]))


def _in_a_row(pieces: list[Speech]) -> Speech:
    """One after the other, with a short silence between them."""
    wavs, words, at = [], [], 0.0
    for speech in pieces:
        words += [Span(w.label, float(w.start + at), float(w.end + at)) for w in speech.words]
        wavs += [speech.wav, np.zeros(round(_GAP * SAMPLE_RATE), np.float32)]
        at = sum(len(wav) for wav in wavs) / SAMPLE_RATE
    return Speech(np.concatenate(wavs[:-1]), words)
