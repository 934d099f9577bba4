"""When everybody speaks: exchanges become takes placed in time, with gaps, pauses, interruptions and back-channels.

All times are in frames of 80 ms. Moshi answers two to four frames after the user's last sound, so one to three after it
could have heard the end; people's gaps have a mean of about 0.2 s. Where a user breaks in, Moshi's sound and words
really end, and what would have come never existed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...config import SAMPLE_RATE
from ..corpus import log_uniform
from ..voices import Span
from .bank import Take, User, read_takes, speakers
from .coding import FRAME, MOSHI, TAIL
from .skills import BEGINNINGS, SKILLS, Exchange, Say, Split, phrases, script

SECONDS = FRAME / SAMPLE_RATE  # of a frame
_GAPS = ((2, 3, 4), (0.5, 0.35, 0.15))  # frames from the user's last sound to Moshi's first
# Frames of silence between two phrases of Moshi. A model that speaks freely must find its way on after any of them:
# were they always short, one moment missed would be the end of the sentence.
_BREATHS = ((0, 1, 2, 3), (0.4, 0.3, 0.2, 0.1))
# How often a breath is as long as its answer's first. Were each drawn anew, there would be no moment in which the next
# word must come, and a model that always takes the likelier of word and silence would fall silent too early.
_STEADY = 0.9
_STOP_AFTER = ((2, 3, 4), (0.4, 0.4, 0.2))  # frames from the end of "stop" to Moshi's silence
_OKAY = (7, 9)  # frames from there to what it says then, longer than any of its breaths
_SWITCH = 0.6  # how often a sentence goes on with another take at a word's beginning, where that can be done unheard
_ALONE = 0.15  # how often a word in a sentence is one that was said alone: people who search for words speak like that
_RECORDED = 0.75  # the same in a sentence of two people: recordings of single words, one after the other
_ELSEWHERE = 0.4  # how often a word comes from another sentence, where it was the first, the last or in between as well
_BEGUN = 0.3  # how often a sentence put together begins with words that were said as if they were all of it
_HESITATION = (1, 16)  # frames in which somebody looks for the next word
_SEAM = 0.025  # seconds by which a word of a user may begin beside the edge of a frame, to be cut there
_OVERLAP = 0.1  # how often the user speaks a little before Moshi has ended
# In training, how often who breaks in comes late, up to so many frames after Moshi's last word: a model that speaks
# faster than its script meets that too, and whoever never did answers a "mhm" with a greeting.
_LATE, _LATE_FRAMES = 0.3, 25
# In training, how often nobody says anything for a while, how long, and how much of an episode that is at most. Who
# never met a silence takes it for the end.
_LULL, _LULL_FRAMES, _LULL_SHARE = 0.06, (20, 320), 0.3
# In training, how many times more rarely than its share a told name may be asked for. Were it asked for every few
# seconds, nobody would have to remember it for a minute.
_PATIENCE = 8.0
# In training, who speaks less than so many dB above their noise has an episode more for every so many dB: there is more
# to learn from one who is hard to understand, and few are.
_CLEAR_DB, _HARDER_DB = 35.0, 5.0


@dataclass(frozen=True)
class Segment:
    """Frames `first` to `stop` of a take."""

    take: Take
    first: int
    stop: int


@dataclass
class Placed:
    """Something said in an episode: stretches of takes one after the other, from frame `start` on."""

    speaker: str  # "moshi" or "user"
    start: int
    segments: list[Segment]
    words: list[Span]  # in seconds of the episode
    last: int  # frame of its last sound
    breaks_in: bool = False  # said while Moshi speaks

    @property
    def stop(self) -> int:
        return self.start + sum(s.stop - s.first for s in self.segments)


@dataclass
class Mark:
    """What is to be judged: one exchange and its frames. `broken`: where the user broke in, first and last frame."""

    exchange: Exchange
    user_end: int  # frame of the last sound of the question (of the second one, if it stopped Moshi)
    user_start: int
    answer: tuple[int, int]  # first and last frame of the answer as scripted (of the second one, if Moshi stopped)
    broken: tuple[int, int] | None = None
    silenced: int | None = None  # first frame in which Moshi is silent again after it was stopped
    pauses: list[tuple[int, int]] = field(default_factory=list)  # frames of silence inside the user's turn


@dataclass
class Episode:
    """A conversation: who says what when, in `frames` frames."""

    frames: int
    user: User
    placed: list[Placed] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def of(self, speaker: str) -> list[Placed]:
        return [p for p in self.placed if p.speaker == speaker]


class Takes:
    """The takes of a bank, ready to be drawn. Raises ValueError for what nobody has said.

    splice: how often a user's sentence is put together word by word from several of their takes. A model that hears the
    same few takes over and over learns these by heart instead of the words.
    mixed: in what share of these somebody else says some of the words, as in a prompt made of recordings. A model
    that hears one voice per sentence also learns how that voice says the next word.
    hesitant: in what share of these it takes a while until the next word comes, which nobody should take for the end.
    """

    def __init__(
        self,
        folder: str | Path,
        users: Sequence[str] | None = None,
        splice: float = 0.0,
        mixed: float = 0.0,
        hesitant: float = 0.0,
    ):
        self.folder, self.splice, self.mixed, self.hesitant = Path(folder), splice, mixed, hesitant
        self.users: dict[str, User] = {}
        self.said: dict[str, dict[Say, list[Take]]] = {}
        self.phrases: dict[str, list[Take]] = defaultdict(list)  # of Moshi
        self.words: dict[tuple[str, str, int, int], list[Take]] = {}  # of users, by who says which word where
        self.elsewhere: dict[tuple[str, str, str], list[tuple[Take, int]]] = defaultdict(list)  # and in any sentence
        for name in users or speakers(folder):
            self.add_user(name)
        for take in read_takes(folder, MOSHI)[1]:
            self.phrases[take.text].append(take)

    def add_user(self, name: str) -> None:
        """Read a user's takes from the bank."""
        self.users[name], takes = read_takes(self.folder, name)
        self.said[name] = defaultdict(list)
        spoken: dict[tuple[str, str, int, int], list[Take]] = defaultdict(list)
        for take in takes:
            self.said[name][Say(take.text, take.manner)].append(take)
            for index in range(0 if take.manner else len(take.words)):
                spoken[_user_key_in(take, index)].append(take)
        for key, some in spoken.items():
            _, label, index, length = key
            self.words[key] = [t for t in some if _near_edge(t, index)] or some
            if length > 1:
                whole = [(t, index) for t in self.words[key] if t.text not in BEGINNINGS]
                self.elsewhere[name, label, _part(index, length)] += whole

    def user(self, rng: random.Random, name: str, say: Say) -> tuple[list[Segment], list[Span]]:
        """Something a user says, and its words' times from its first frame on."""
        takes = self.said[name].get(say)
        if takes and (say.manner or rng.random() >= self.splice):
            take = rng.choice(takes)
            return [_whole(take)], list(take.words)
        if not self._has_words(name, say):
            raise ValueError(f"{name} has never said {say.text!r} {say.manner}".rstrip())
        labels = say.text.split()
        take = rng.choice(takes) if takes else None
        people = [name, *self._somebody_else(rng, say)]
        beginning = self._beginning(rng, people, say)
        segments, words, at, place = [], [], 0, -1
        for index, label in enumerate(labels):
            if beginning and index < len(beginning.words):
                take, place = beginning, index
            else:
                take, place = self._word(rng, people, labels, index, take if place == index - 1 else None)
            own, (first, stop) = take.words[place], _edges(take, place)
            if place + 1 == len(take.words) and index + 1 < len(labels):  # said as the last one: some silence stays
                stop = min(stop, take.last + 1 + rng.randint(0, TAIL))
            shift = (at - first) * SECONDS
            start = max(0.0, own.start + shift)
            if words:  # a splice at a frame's edge may cut off a word's end
                words[-1] = replace(words[-1], end=max(words[-1].start, min(words[-1].end, start)))
            words.append(Span(label, start, own.end + shift))
            segments.append(Segment(take, first, max(first + 1, stop)))
            at += segments[-1].stop - first
        return segments, words

    def hesitating(
        self, rng: random.Random, segments: list[Segment], words: list[Span]
    ) -> list[tuple[int, list[Segment], list[Span]]]:
        """What `user` gave, in one piece or, now and then, in two: frames of silence before each, segments, words."""
        if len(segments) < 2 or rng.random() >= self.hesitant:
            return [(0, segments, words)]
        cut = rng.randrange(1, len(segments))
        begun = sum(s.stop - s.first for s in segments[:cut]) * SECONDS
        rest = [Span(w.label, max(0.0, w.start - begun), max(0.0, w.end - begun)) for w in words[cut:]]
        return [(0, segments[:cut], words[:cut]), (rng.randint(*_HESITATION), segments[cut:], rest)]

    def _somebody_else(self, rng: random.Random, say: Say) -> list[str]:
        """Who also says words of a mixed sentence; nobody in one that is not."""
        if rng.random() >= self.mixed:
            return []
        other = rng.choice(list(self.users))
        return [other] if self._has_words(other, say) else []

    def _beginning(self, rng: random.Random, people: list[str], say: Say) -> Take | None:
        """Now and then, how one of them says the first words of a sentence by themselves."""
        if rng.random() >= _BEGUN:
            return None
        said = self.said[rng.choice(people)]
        some = [text for text in BEGINNINGS if say.text.startswith(f"{text} ")]
        found = [take for text in some for take in said.get(Say(text), ())]
        return rng.choice(found) if found else None

    def _word(
        self, rng: random.Random, people: list[str], labels: list[str], index: int, take: Take | None
    ) -> tuple[Take, int]:
        """Which take, by one of these people, says word `index` of a sentence after `take`, and as its which word."""
        name, length = rng.choice(people), len(labels)
        share = _ALONE if len(people) == 1 else _RECORDED
        alone = self.words.get(_user_key(name, labels[index], 0, 1)) if length > 1 and rng.random() < share else None
        if alone:
            return rng.choice(alone), 0
        if rng.random() < _ELSEWHERE and (found := self.elsewhere.get((name, labels[index], _part(index, length)))):
            return rng.choice(found)
        key = _user_key(name, labels[index], index, length)
        goes_on = take is not None and index < len(take.words) and key == _user_key_in(take, index)
        if not goes_on or (index and _near_edge(take, index) and rng.random() < _SWITCH):
            take = rng.choice(self.words[key])
        return take, index

    def can_ask(self, name: str, exchange: Exchange) -> bool:
        """Whether the user has said all of it; with `splice`, its words, which can be put together, are enough."""
        return all(self._can_say(name, say) for say in (*exchange.user, *filter(None, [exchange.breaks])))

    def _can_say(self, name: str, say: Say) -> bool:
        return say in self.said[name] or (bool(self.splice) and self._has_words(name, say))

    def _has_words(self, name: str, say: Say) -> bool:
        """Whether it can be put together from the user's words; how somebody sounds cannot."""
        labels = say.text.split()
        keys = (_user_key(name, label, index, len(labels)) for index, label in enumerate(labels))
        return not say.manner and all(self.words.get(key) for key in keys)

    def moshi(self, rng: random.Random, text: str) -> tuple[list[Segment], list[Span]]:
        """An answer put together phrase by phrase (see `phrases`), and its words' times from its first frame on."""
        segments, words, at = [], [], 0
        pieces = phrases(text)
        pace = rng.choices(*_BREATHS)[0]  # frames of silence
        for index, phrase in enumerate(pieces):
            if not self.phrases.get(phrase):
                raise ValueError(f"Moshi has never said {phrase!r}, which belongs to {text!r}")
            take = rng.choice(self.phrases[phrase])
            breath = pace if rng.random() < _STEADY else rng.choices(*_BREATHS)[0]
            breath = TAIL + 1 if index + 1 == len(pieces) else breath
            stop = min(take.frames, take.last + 1 + breath)
            shift, end = at * SECONDS, (at + stop) * SECONDS
            words += [Span(w.label, w.start + shift, min(w.end + shift, end)) for w in take.words]
            segments.append(Segment(take, 0, stop))
            at += stop
        return segments, words


def _nearest_frame(take: Take, index: int) -> int:
    """The frame at whose edge, more or less, a word begins."""
    return round(take.words[index].start / SECONDS)


def _edges(take: Take, index: int) -> tuple[int, int]:
    """The first frame of word `index` and the one after its last; what is before all words or after them goes along."""
    first = _nearest_frame(take, index) if index else 0
    return first, _nearest_frame(take, index + 1) if index + 1 < len(take.words) else take.frames


def _near_edge(take: Take, index: int) -> bool:
    """Whether word `index` begins, and the one before it ends, close enough to the edge of a frame to be cut there.

    Not quite at it: nobody listens to users in training, and most people leave no gap between words.
    """
    if not 0 < index < len(take.words):
        return True
    edge = _nearest_frame(take, index) * SECONDS
    return abs(take.words[index].start - edge) <= _SEAM and take.words[index - 1].end <= edge + _SEAM


def _user_key(name: str, label: str, index: int, length: int) -> tuple[str, str, int, int]:
    return name, label, index, length


def _part(index: int, length: int) -> str:
    """Where in a sentence a word is said, as far as that changes how."""
    return "first" if index == 0 else "last" if index + 1 == length else "between"


def _user_key_in(take: Take, index: int) -> tuple[str, str, int, int]:
    return _user_key(take.speaker, take.words[index].label, index, len(take.words))


def _whole(take: Take) -> Segment:
    return Segment(take, 0, take.frames)


class EpisodeMaker:
    """Draws episodes: `maker.random(rng, frames)` for training, `maker.play(rng, exchanges, …)` for a given script."""

    def __init__(self, takes: Takes, skills: dict[str, float] = SKILLS, splits: Sequence[Split] = ("speech",)):
        self.takes, self.skills, self.splits = takes, skills, tuple(splits)

    def random(self, rng: random.Random, frames: int, silent: float = 0.04) -> Episode:
        """An episode of exactly `frames` frames with as many exchanges as fit; a share is only background."""
        shares = [max(1.0, (_CLEAR_DB - user.above_noise) / _HARDER_DB) for user in self.takes.users.values()]
        name = rng.choices(list(self.takes.users), shares)[0]
        episode = Episode(frames, self.takes.users[name])
        if rng.random() < silent:
            return episode
        at = rng.randint(4, 16)
        skills, longest = dict(self.skills), round(_LULL_SHARE * frames)
        if "recall" in skills:
            skills["recall"] /= log_uniform(rng, 1, _PATIENCE)
        for exchange in script(rng, frames // 20, skills, self.splits, lambda e: self.takes.can_ask(name, e)):
            at += min(round(log_uniform(rng, *_LULL_FRAMES)), longest) if rng.random() < _LULL else 0
            before = len(episode.placed), len(episode.marks)
            at = self._add(rng, episode, name, exchange, at, late=rng.random() < _LATE)
            if at > frames:
                del episode.placed[before[0] :], episode.marks[before[1] :]
                break
        return episode

    def play(
        self,
        rng: random.Random,
        exchanges: Iterable[Exchange],
        name: str,
        tail: int = 20,
        lulls: Mapping[int, int] | None = None,
    ) -> Episode:
        """These exchanges by this user, one after the other, and `tail` frames of silence.

        lulls: more frames of silence before the exchange of that number.
        """
        episode, at = Episode(0, self.takes.users[name]), rng.randint(8, 16)
        for number, exchange in enumerate(exchanges):
            at = self._add(rng, episode, name, exchange, at + (lulls or {}).get(number, 0))
        episode.frames = max(p.stop for p in episode.placed) + tail
        return episode

    # ------------------------------------------------------------------------------------ one exchange

    def _add(
        self, rng: random.Random, episode: Episode, name: str, exchange: Exchange, at: int, late: bool = False
    ) -> int:
        """Place an exchange from frame `at` on; returns where the next one may begin. late: see _LATE."""
        mark, asked = self._ask(rng, episode, name, exchange, at)
        answer = self._answer(rng, episode, exchange.answer, asked.last + rng.choices(*_GAPS)[0])
        if exchange.breaks:
            self._break_in(rng, episode, name, mark, answer, late)
            answer = episode.of(MOSHI)[-1]
        mark.answer = (answer.start, answer.last)
        episode.marks.append(mark)
        busy = max(answer.last, mark.broken[1] if mark.broken else 0)
        if rng.random() < _OVERLAP and not exchange.breaks:
            return busy + rng.randint(-2, 1)
        return busy + rng.randint(3, 14)

    def _ask(
        self, rng: random.Random, episode: Episode, name: str, exchange: Exchange, at: int
    ) -> tuple[Mark, Placed]:
        pauses, start = [], at
        for number, say in enumerate(exchange.user):
            if number:
                silence = rng.randint(8, 19) if number > 1 else rng.randint(3, 8)
                pauses.append((at, at + silence - 1))
                at += silence
            for gap, *said in self.takes.hesitating(rng, *self.takes.user(rng, name, say)):
                placed = self._place(episode, "user", at + gap, *said)
                at = placed.last + 1
        return Mark(exchange, placed.last, start, (0, 0), pauses=pauses[1:]), placed

    def _answer(self, rng: random.Random, episode: Episode, text: str, at: int) -> Placed:
        return self._place(episode, MOSHI, at, *self.takes.moshi(rng, text))

    def _break_in(
        self, rng: random.Random, episode: Episode, name: str, mark: Mark, count: Placed, late: bool
    ) -> None:
        """The user speaks while Moshi counts (late: about when it ends); Moshi stops and answers, or goes on."""
        exchange = mark.exchange
        segments, words = self.takes.user(rng, name, exchange.breaks)
        length = sum(s.stop - s.first for s in segments)
        earliest, latest = count.start + 6, max(count.start + 7, count.last - (length + 6 if exchange.stops else 8))
        if late:
            earliest, latest = latest, count.last + _LATE_FRAMES
        said = self._place(episode, "user", rng.randint(earliest, latest), segments, words)
        said.breaks_in = said.start <= count.last
        mark.broken = (said.start, said.last)
        if not exchange.stops:
            return
        if exchange.skill == "stop":
            mark.silenced = said.last + rng.choices(*_STOP_AFTER)[0]
            wait = rng.randint(*_OKAY)
        else:  # a question shows after half a second that it is more than a murmur
            mark.silenced = said.start + rng.randint(7, 10)
            wait = rng.choices(*_GAPS)[0]
        _cut(count, mark.silenced)
        mark.user_end = said.last
        self._answer(rng, episode, exchange.after, max(said.last, mark.silenced) + wait)

    @staticmethod
    def _place(
        episode: Episode, speaker: str, start: int, segments: list[Segment], words: list[Span]
    ) -> Placed:
        shift = start * SECONDS
        length = sum(s.stop - s.first for s in segments)
        final = segments[-1]
        last = start + length - 1 - (final.stop - 1 - min(final.take.last, final.stop - 1))
        placed = Placed(
            speaker, start, segments, [Span(w.label, w.start + shift, w.end + shift) for w in words], last
        )
        episode.placed.append(placed)
        return placed


def _cut(placed: Placed, frame: int) -> None:
    """End it before `frame`: later sound and words never were."""
    kept, at = [], placed.start
    for segment in placed.segments:
        room = frame - at
        if room <= 0:
            break
        kept.append(Segment(segment.take, segment.first, min(segment.stop, segment.first + room)))
        at += segment.stop - segment.first
    placed.segments = kept
    end = frame * SECONDS
    placed.words = [Span(w.label, w.start, min(w.end, end)) for w in placed.words if w.start < end - 1e-6]
    placed.last = min(placed.last, frame - 1)
