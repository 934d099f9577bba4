"""Takes: all that Moshi and its users say, spoken beforehand by many voices, kept as sound and as codes.

A bank is a folder. Each speaker has `NAME.i16` (all takes one after the other, 16-bit samples at 24 kHz) and
`NAME.jsonl` (a line a take); `coding.encode_bank` adds their codes. Episodes are put together from takes, so a take
carries the room, the microphone and the noise of its speaker with it, and `noise-N` are tapes of that noise alone, to
lie between.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import librosa
import numpy as np
from tqdm import tqdm

from ...config import SAMPLE_RATE
from ..augment import coloured, in_room, room_response
from ..cast import refuse_held_out_voice
from ..corpus import LOUDNESS, log_uniform, low_pass, random_speaker
from ..voices import Span, Speech, open_voice
from .coding import (
    AFTER,
    BEFORE,
    ECHOES,
    FRAME,
    MOSHI,
    NOISE_DB,
    breaks_in,
    codes_of,
    echoes_of,
    frames_of,
    last_frame,
    lead_of,
    read_index,
    sound_of,
)
from .skills import BEGINNINGS, GREETINGS, MANNERS, MURMURS, SPLITS, STOPS, Say, moshi_says, phrases, user_says

_TAKES = 12  # of each of Moshi's phrases, at most
_TRIED = 60  # at most, to find that many which are understood
_HIBARI = {"high": ("f0", 1.45), "low": ("f0", 0.68), "fast": ("speed", 1.45), "slow": ("speed", 0.68)}
_SPELLED = dict.fromkeys(("flite", "festival"), {"mhm": "umhum"})  # lest an engine spells the word out
# Voices of guests, and how often each speaks.
_GUESTS = {
    "piper:joe": 5,
    "hibari": 4,
    "festival:ked": 2,
    "festival:slt": 2,
    "flite:rms": 2,
    "flite:slt": 1,
    "flite:kal16": 1,
}
_GAIN_DB = {"loud": 9.0, "quiet": -13.0}
# How many times slower single words, and beginnings, are said a second time, and how often: so are they dictated to a
# machine, and so are they spoken for its prompts. Who never heard "minus" last most of a second takes it for "nine".
_DICTATED = ((1.1, 1.9), 0.7)
_BEGUN_SLOWLY = ((1.1, 1.35), 0.25)
# How many more times everybody says what cannot be put together word by word: how they sound, and whatever they say in
# a word or two. Of a single take a model learns the take.
_AGAIN_MANNER, _AGAIN_SHORT = 4, 2
_TWIN, _TWIN_DB = "-twin", (-20.0, 8.0)  # end of the name, and gain, of a twin


@dataclass(frozen=True)
class User:
    """Somebody who talks to Moshi: their voice, their room and their microphone.

    voice: for `open_voice`. rate: played faster or slower, which changes pitch and vocal tract too. noise: which of
    NOISE_DB. room: (seconds of echo, its level in dB), or None. tempo: faster or slower at the same pitch. colour: how
    much their microphone bends the spectrum, in dB.
    """

    name: str
    voice: str
    gain_db: float = 0.0
    noise: int = 0
    room: tuple[float, float] | None = None
    rate: float = 1.0
    narrow: bool = False  # nothing above 8 kHz
    tempo: float = 1.0
    colour: float = 0.0

    @property
    def above_noise(self) -> float:
        """How much louder than their noise they speak, in dB; infinite where there is none."""
        floor = NOISE_DB[self.noise]
        return math.inf if floor is None else 20 * math.log10(LOUDNESS) + self.gain_db - floor


@dataclass(frozen=True)
class Take:
    """Something said once. Times are in seconds from the beginning of frame 0; `codes` uint16 [Q, F] or None.

    echoes: codes [Q, F] by (kind of noise, which of ECHO_DB): of Moshi, what a microphone hears of it from a
    loudspeaker; of a user who breaks in, what it hears while Moshi speaks.
    """

    speaker: str
    text: str
    manner: str
    words: tuple[Span, ...]
    frames: int
    last: int  # frame of the last sound
    lead: int  # samples of background before the first one
    sound: np.ndarray  # int16 [S]
    codes: np.ndarray | None = None
    echoes: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)


def random_user(rng: random.Random, name: str) -> User:
    """A user of training. Most are hibari's random speakers, others have one of flite's voices, faster or slower."""
    kind, rate = rng.random(), math.exp(rng.uniform(-0.15, 0.15))
    if kind < 0.6:
        voice, rate = random_speaker(rng, 0.55, 1.35), 1.0
    else:
        voice = f"flite:{rng.choice(('slt', 'rms', 'kal16'))}"
    return _somewhere(rng, name, voice, rate)


def guest(rng: random.Random, name: str) -> User:
    """A user of training who is further from the others: any engine, any pace, a microphone that colours the voice."""
    voice = rng.choices(list(_GUESTS), list(_GUESTS.values()))[0]
    rate, tempo = math.exp(rng.uniform(-0.2, 0.2)), math.exp(rng.uniform(-0.2, 0.2))
    if voice == "hibari":
        voice, rate = random_speaker(rng, 0.5, 1.5), math.exp(rng.uniform(-0.12, 0.12))
    elif voice == "piper:joe":
        voice, tempo = f"{voice},speed={tempo:.2f}", 1.0
    user = _somewhere(rng, name, voice, rate)
    return replace(user, tempo=tempo, colour=rng.uniform(0, 10))


def _somewhere(rng: random.Random, name: str, voice: str, rate: float) -> User:
    """A user with that voice in a random room, before a random microphone."""
    wild = rng.random() < 0.15
    gain = rng.uniform(-24, 15) if wild else min(6.0, max(-12.0, rng.gauss(0, 4)))
    room = (rng.uniform(0.1, 0.4), rng.uniform(-20, -8)) if rng.random() < 0.2 else None
    return User(name, voice, gain, rng.choices((0, 1, 2, 3), (4, 3, 2, 1))[0], room, rate, rng.random() < 0.3)


# ------------------------------------------------------------------------------------------------- speaking


def trim(speech: Speech) -> Speech:
    """Without the silence on both sides, at the corpus's loudness."""
    loud = np.flatnonzero(np.abs(speech.wav) > 0.015 * np.abs(speech.wav).max(initial=1e-9))
    if not len(loud):
        raise ValueError(f"the voice said nothing for {' '.join(w.label for w in speech.words)!r}")
    start = max(0, loud[0] - int(BEFORE * SAMPLE_RATE))
    end = loud[-1] + int(AFTER * SAMPLE_RATE)
    wav = np.pad(speech.wav, (0, max(0, end - len(speech.wav))))[start:end]
    shift, whole = start / SAMPLE_RATE, (end - start) / SAMPLE_RATE
    words = [
        Span(w.label, min(max(0.0, w.start - shift), whole), min(max(0.0, w.end - shift), whole)) for w in speech.words
    ]
    return Speech(wav * np.float32(LOUDNESS / np.sqrt(np.mean(np.square(wav)))), words)


def _stretched(speech: Speech, manner: str) -> Speech:
    """A manner for voices that have no dials: a phase vocoder changes speed or pitch."""
    if manner in ("high", "low"):
        steps = 12 * math.log2(_HIBARI[manner][1])
        return Speech(librosa.effects.pitch_shift(speech.wav, sr=SAMPLE_RATE, n_steps=steps), speech.words)
    return _at_tempo(speech, _HIBARI[manner][1])


def _at_tempo(speech: Speech, rate: float) -> Speech:
    return Speech(librosa.effects.time_stretch(speech.wav, rate=rate), _sooner(speech.words, rate))


def _at_rate(speech: Speech, rate: float) -> Speech:
    """Played faster or slower, which changes pitch and vocal tract too."""
    wav = librosa.resample(speech.wav, orig_sr=SAMPLE_RATE * rate, target_sr=SAMPLE_RATE, res_type="soxr_mq")
    return Speech(wav, _sooner(speech.words, rate))


def _sooner(words: Iterable[Span], rate: float) -> list[Span]:
    return [Span(w.label, w.start / rate, w.end / rate) for w in words]


def _dialled(spec: str, dial: str, factor: float) -> str:
    """A hibari voice with one of its settings changed by a factor."""
    dials = dict(part.split("=") for part in spec.partition(":")[2].split(",") if part)
    dials[dial] = f"{min(2.9, max(0.31, float(dials.get(dial, 1)) * factor)):.3f}"
    return "hibari:" + ",".join(f"{key}={value}" for key, value in dials.items())


def faster(user: User, times: float) -> User:
    """The same user, saying everything so many times faster; but for hibari's voices, higher too."""
    if user.voice.startswith("hibari"):
        return replace(user, voice=_dialled(user.voice, "speed", times))
    return replace(user, rate=user.rate * times)


def slower(user: User, times: float) -> User:
    """The same user, saying everything so many times slower at the same pitch."""
    if user.voice.startswith("hibari"):
        return replace(user, voice=_dialled(user.voice, "speed", 1 / times))
    return replace(user, tempo=user.tempo / times)


def say_as(user: User, say: Say) -> Speech:
    """What a user says, as their microphone hears it, without the noise; silence trimmed."""
    spec, manner = user.voice, say.manner
    dialled = manner in _HIBARI and spec.startswith("hibari")
    if dialled:
        spec = _dialled(spec, *_HIBARI[manner])
    speech = open_voice(spec)(_SPELLED.get(spec.partition(":")[0], {}).get(say.text, say.text))
    if user.rate != 1.0:
        speech = _at_rate(speech, user.rate)
    if user.tempo != 1.0:
        speech = _at_tempo(speech, user.tempo)
    if manner in _HIBARI and not dialled:
        speech = _stretched(speech, manner)
    speech = trim(speech)
    wav = low_pass(speech.wav) if user.narrow else speech.wav
    if user.colour:
        wav = coloured(wav, np.random.default_rng(list(user.name.encode())), user.colour)
    if user.room:
        wav = in_room(wav, room_response(np.random.default_rng(len(user.name)), *user.room))
    gain = user.gain_db + _GAIN_DB.get(manner, 0.0)
    return Speech(np.clip(wav * np.float32(10 ** (gain / 20)), -0.99, 0.99), speech.words)


def _as_written(words: Iterable[Span], text: str) -> list[Span]:
    """The words' times under the words of `text`; voices may write them differently."""
    words, wanted = list(words), text.split()
    if len(words) != len(wanted):
        raise ValueError(f"the voice gave times for {[w.label for w in words]}, expected those of {text!r}")
    return [Span(label, w.start, w.end) for label, w in zip(wanted, words, strict=True)]


def _write(folder: Path, name: str, facts: dict, takes: Iterable[tuple[dict, Speech]]) -> None:
    """A speaker's two files; the index, which makes them valid, comes last."""
    rows, offset = [], 0
    with open(folder / f"{name}.i16", "wb") as sound:
        for row, speech in takes:
            words = [[w.label, round(w.start, 3), round(w.end, 3)] for w in _as_written(speech.words, row["text"])]
            lead = int.from_bytes(hashlib.blake2b(f"{name}/{offset}".encode(), digest_size=2).digest(), "big") % FRAME
            rows.append({"lead": lead, **row, "offset": offset, "samples": len(speech.wav), "words": words})
            sound.write((speech.wav * 32767).astype("<i2").tobytes())
            offset += len(speech.wav)
    unfinished = folder / f"{name}.jsonl.unfinished"
    unfinished.write_text("".join(json.dumps(row) + "\n" for row in [facts, *rows]))
    os.replace(unfinished, folder / f"{name}.jsonl")


def record_user(folder: str | Path, user: User, says: Iterable[Say], held_out: bool = False) -> None:
    """Let a user say everything in `says`, unless `folder` has it already. held_out: voices of tests may speak."""
    if not held_out:
        refuse_held_out_voice(user.voice)
    add_takes(folder, user, ((say, say_as(user, say)) for say in says))


def add_takes(folder: str | Path, user: User, takes: Iterable[tuple[Say, Speech]]) -> None:
    """Put what a user said into the bank in `folder`, silence trimmed, unless it is there already."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{user.name}.jsonl").exists():
        rows = (({"text": say.text, "manner": say.manner}, speech) for say, speech in takes)
        _write(folder, user.name, asdict(user), rows)


# How well a take of a phrase is understood, from 0 to 1, if its sound begins so many samples into a frame.
Clear = Callable[[str, Speech, int], float]


def record_moshi(folder: str | Path, seed: int = 0, takes: int = _TAKES, clear: Clear | None = None) -> None:
    """Let Moshi say every phrase of its answers several times, a little faster or slower each time.

    clear: if given, each phrase is said until enough takes are understood, or _TRIED times, and the clearest are kept:
    fewer than `takes`, where the others are less than half as clear.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / f"{MOSHI}.jsonl").exists():
        return
    rng = random.Random(seed)
    said = dict.fromkeys(phrase for _, text in moshi_says(SPLITS) for phrase in phrases(text))

    def speak() -> Iterable[tuple[dict, Speech]]:
        for phrase in tqdm(said, desc=MOSHI):
            if clear:
                some = _clearest(rng, phrase, takes, clear)
            else:
                some = (({}, moshi_take(phrase, rng.uniform(0.95, 1.2))) for _ in range(takes))
            for place, speech in some:
                yield {"text": phrase, "manner": ""} | place, speech

    _write(folder, MOSHI, asdict(User(MOSHI, "hibari")), speak())


def moshi_take(text: str, speed: float, f0: float = 1.0, f0_range: float = 1.0) -> Speech:
    """What Moshi's voice makes of a text, silence trimmed."""
    return trim(open_voice(f"hibari:speed={speed:.3f},f0={f0:.3f},f0_range={f0_range:.3f}")(text))


def _clearest(rng: random.Random, phrase: str, takes: int, clear: Clear) -> list[tuple[dict, Speech]]:
    """The same sound is clear in one place of a frame and not in another, so the place is kept with it."""
    tried: list[tuple[float, int, dict, Speech]] = []
    while len(tried) < _TRIED and sum(score == 1 for score, *_ in tried) < takes:
        speech = moshi_take(phrase, rng.uniform(0.9, 1.2), rng.uniform(0.95, 1.05), rng.uniform(0.7, 1.3))
        lead = rng.randrange(FRAME)
        tried.append((clear(phrase, speech, lead), -len(tried), {"lead": lead}, speech))
    best = sorted(tried, key=lambda one: one[:2], reverse=True)[:takes]
    good = best[0][0]  # better a word said in one way only than in ways that nobody understands
    return [(place, speech) for score, _, place, speech in best if score >= good / 2]


def some_says(rng: random.Random) -> list[Say]:
    """What one of many users of training says: all short things, some questions and beginnings, few of the sums."""
    shares = {"sum": 0.12, "short": 1.0, "other": 0.4}
    found = []
    for say in user_says():
        words = say.text.split()
        sums = "plus" in words or "minus" in words
        short = len(words) == 1 or "name" in words or say.text == "repeat after me"
        kind = "sum" if sums else "short" if short else "other"
        if rng.random() < shares[kind]:
            found.append(say)
    return found + [Say(text) for text in BEGINNINGS if rng.random() < 0.5]


def dictated(rng: random.Random, says: Iterable[Say]) -> list[tuple[Say, float]]:
    """What of these is said again, and how many times slower: single words, and beginnings of sentences."""
    found = []
    for say in says:
        word = len(say.text.split()) == 1
        (least, most), share = _DICTATED if word else _BEGUN_SLOWLY
        if not say.manner and (word or say.text in BEGINNINGS) and rng.random() < share:
            found.append((say, log_uniform(rng, least, most)))
    return found


def another_time(rng: random.Random, user: User) -> User:
    """The same user on another day: a little faster or slower, higher or lower, louder or softer."""
    other = faster(user, math.exp(rng.uniform(-0.08, 0.08)))
    other = replace(other, gain_db=user.gain_db + rng.uniform(-3, 3))
    if user.voice.startswith("hibari"):
        other = replace(other, voice=_dialled(other.voice, "f0", math.exp(rng.uniform(-0.04, 0.04))))
    return other


def said_again(rng: random.Random, user: User) -> list[tuple[Say, User]]:
    """What a user says several times, and as whom: every manner, greetings, and all with which they break in."""
    says = [say for say in user_says() if say.manner or say.text in (*GREETINGS, *STOPS, *MURMURS)]
    times = [_AGAIN_MANNER if say.manner else _AGAIN_SHORT for say in says]
    return [(say, another_time(rng, user)) for say, many in zip(says, times, strict=True) for _ in range(many)]


def _record_some(folder: str | Path, user: User, rng: random.Random) -> None:
    """A user of training says `some_says`, what is `dictated`, and what is `said_again`."""
    refuse_held_out_voice(user.voice)
    says = some_says(rng)
    spoken = [(say, user) for say in says] + [(say, slower(user, times)) for say, times in dictated(rng, says)]
    spoken += said_again(rng, user)
    add_takes(folder, user, ((say, say_as(voice, say)) for say, voice in spoken))


def record_bank(folder: str | Path, users: int, seed: int = 0, clear: Clear | None = None) -> None:
    """Moshi and `users` users of training, who say `some_says` each: many voices teach more than many sentences.

    Every second one is a `guest`, and each has a `twin`. clear: for `record_moshi`.
    """
    record_moshi(folder, seed, clear=clear)
    guests = users // 2
    for voice in _GUESTS if guests else ():
        open_voice(voice)  # a missing engine is told before hours of work, not after
    for number in tqdm(range(users - guests), desc="users"):
        rng = random.Random(f"{seed}/{number}")
        _record_some(folder, random_user(rng, f"user-{number:03d}"), rng)
    for number in tqdm(range(guests), desc="guests"):
        rng = random.Random(f"{seed}/guest/{number}")
        _record_some(folder, guest(rng, f"guest-{number:03d}"), rng)
    for name in tqdm([name for name in speakers(folder) if not name.endswith(_TWIN)], desc="twins"):
        twin(folder, name)


def twin(folder: str | Path, name: str) -> None:
    """Let all takes of a user of the bank be played faster or slower, so in another voice, before another microphone.

    The second user, NAME-twin, is softer, noisier and more often in a room than `random_user` makes them: what is said
    clearly nearby teaches little of what a codec makes of soft speech in noise.
    """
    rng = random.Random(f"twin/{name}")
    facts, rows, sound = read_index(Path(folder) / f"{name}.jsonl")
    rate, gain, colour = math.exp(rng.uniform(-0.12, 0.12)), rng.uniform(*_TWIN_DB), rng.uniform(0, 8)
    room = (rng.uniform(0.1, 0.4), rng.uniform(-20, -8)) if rng.random() < 0.4 else None
    louder = np.float32(10 ** ((gain - facts["gain_db"]) / 20) / 32767)
    draw = np.random.default_rng(rng.randrange(2**32))
    curve, response = draw.integers(2**32), room and room_response(draw, *room)
    noise, known = rng.randrange(len(NOISE_DB)), User(**facts | {"room": room})
    other = replace(known, name=f"{name}{_TWIN}", rate=known.rate * rate, gain_db=gain, noise=noise, colour=colour)

    def played(row: dict) -> Speech:
        said = Speech(sound_of(sound, row).astype(np.float32) * louder, [Span(*word) for word in row["words"]])
        said = _at_rate(said, rate)
        wav = coloured(said.wav, np.random.default_rng(curve), colour)
        wav = wav if response is None else in_room(wav, response)
        return Speech(np.clip(wav, -0.99, 0.99), said.words)

    add_takes(folder, other, ((Say(row["text"], row["manner"]), played(row)) for row in rows))


# -------------------------------------------------------------------------------------------------- reading


def read_takes(folder: str | Path, name: str) -> tuple[User, list[Take]]:
    """A speaker of the bank and all their takes, with codes if there are any: every copy that has been encoded."""
    index = Path(folder) / f"{name}.jsonl"
    if not index.exists():
        raise FileNotFoundError(f"{folder} holds no takes of {name!r}; record them first (record_user, record_moshi)")
    facts, rows, sound = read_index(index)
    copies = itertools.takewhile(lambda copy: codes_of(index, copy).exists(), itertools.count())
    takes = [take for copy in list(copies) or [0] for take in _takes(index, name, rows, sound, copy)]
    room = tuple(facts.pop("room")) if facts["room"] else facts.pop("room")
    return User(**facts, room=room), takes


def _takes(index: Path, name: str, rows: list[dict], sound: np.ndarray, copy: int) -> list[Take]:
    coded = codes_of(index, copy)
    codes = np.load(coded) if coded.exists() else None
    heard = {kind: np.load(path) for kind in ECHOES if (path := echoes_of(index, *kind, copy)).exists()}
    takes, at, under = [], 0, 0  # frames so far, and those that there are with an echo too
    for row in rows:
        lead = lead_of(row, copy)
        shift = lead / SAMPLE_RATE
        frames = frames_of(lead, row["samples"])
        echoed = frames if name == MOSHI or breaks_in(row) else 0
        takes.append(
            Take(
                speaker=name,
                text=row["text"],
                manner=row["manner"],
                words=tuple(Span(label, start + shift, end + shift) for label, start, end in row["words"]),
                frames=frames,
                last=last_frame(lead, row["samples"]),
                lead=lead,
                sound=sound_of(sound, row),
                codes=None if codes is None else codes[:, at : at + frames],
                echoes={kind: found[:, under : under + frames] for kind, found in heard.items() if echoed},
            )
        )
        at, under = at + frames, under + echoed
    if codes is not None and at != codes.shape[1]:
        raise ValueError(f"{coded} holds {codes.shape[1]} frames, expected {at}: encode {name!r} again")
    return takes


def speakers(folder: str | Path) -> list[str]:
    """Names of the users in a bank."""
    return sorted(path.stem for path in Path(folder).glob("*.jsonl") if path.stem != MOSHI)


assert set(_HIBARI) | set(_GAIN_DB) == set(MANNERS)
