"""What the mini-world talks about: every skill as a function that draws one exchange and knows the right answer.

A combination of slot values ("sum", "three", "plus", "four") belongs to one split for good, by a hash: most are heard
in training speech, a tenth may be read in training text only (can knowledge cross from text to speech?), a twentieth
is in neither. What the course and the web page ask for (SHOWN) is always in speech.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

Split = Literal["speech", "text", "none"]
SPLITS: tuple[Split, ...] = get_args(Split)

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen"
).split()
DIGITS = NUMBERS[:10]
_PAIRS = "hot/cold big/small fast/slow high/low loud/quiet day/night happy/sad open/closed wet/dry old/young".split()
OPPOSITES = {a: b for pair in _PAIRS for a, b in (pair.split("/"), pair.split("/")[::-1])}
COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "sun": "yellow", "coal": "black", "blood": "red"}
NAMES = "anna tom lucy peter maria david emma paul".split()
MANNERS = "high low fast slow loud quiet".split()
GREETINGS = {
    "hello": "hello",
    "good morning": "good morning",
    "good evening": "good evening",
    "goodbye": "goodbye",
    "thank you": "you are welcome",
}
STOPS = ("stop",)
MURMURS = ("mhm", "yes", "right")
COUNTS = range(3, 11)
LONG_COUNTS = range(7, 11)  # long enough to break in

# How often each skill is drawn. What is hard, or needs two exchanges, gets more than its natural share.
SKILLS: dict[str, float] = {
    "greeting": 0.02,
    "sum": 0.12,
    "neighbour": 0.04,
    "opposite": 0.17,
    "colour": 0.07,
    "name": 0.03,
    "recall": 0.2,
    "count": 0.12,
    "stop": 0.09,
    "question": 0.05,
    "murmur": 0.09,
    "repeat": 0.05,
    "manner": 0.09,
}
SHOWN = (("sum", "three", "plus", "four"), ("sum", "nine", "minus", "five"), ("sum", "two", "plus", "two"))
HASHED = ("sum", "repeat")  # skills of many combinations, made of words that are all heard elsewhere
BREAKING = ("stop", "question", "murmur")  # the user speaks while Moshi counts
# What users also say as if it were a whole sentence: so sounds who searches for the rest, or plays it from a tape.
BEGINNINGS = (
    "what is",
    "what comes before",
    "what comes after",
    "what is the opposite of",
    "what colour is the",
    "my name is",
    "count to",
    "plus",
    "minus",
)


@dataclass(frozen=True)
class Say:
    """Something the user says; manner: one of MANNERS, or "" for as they are."""

    text: str
    manner: str = ""


@dataclass(frozen=True)
class Exchange:
    """A turn of the user, what Moshi answers, and for some skills how the user breaks into the answer.

    user: said one after the other, with pauses that do not end the turn. breaks: said while Moshi speaks; if it
    `stops` Moshi, `after` is what Moshi says then, otherwise Moshi goes on.
    """

    skill: str
    slots: tuple[str, ...]
    user: tuple[Say, ...]
    answer: str
    breaks: Say | None = None
    stops: bool = False
    after: str = ""

    @property
    def split(self) -> Split:
        return split_of(self.skill, self.slots)

    @property
    def expected(self) -> str:
        """Moshi's last words, by which the exchange is judged."""
        return self.after if self.stops else self.answer

    @property
    def unbroken(self) -> Exchange:
        """The same in which the user lets Moshi speak: the control of one in which they break in."""
        return replace(self, breaks=None, stops=False, after="")


def split_of(skill: str, slots: tuple[str, ...]) -> Split:
    """Where a combination may be met in training: in "speech" (and text), in "text" only, or in "none"."""
    if skill not in HASHED or (skill, *slots) in SHOWN:
        return "speech"
    draw = hashlib.blake2b("/".join((skill, *slots)).encode(), digest_size=4).digest()
    share = int.from_bytes(draw, "big") / 2**32
    return "none" if share < 0.05 else "text" if share < 0.15 else "speech"


# ------------------------------------------------------------------------------------------------ one skill


def _sum_of(a: int, sign: str, b: int) -> Exchange:
    value = a + b if sign == "plus" else a - b
    task = f"{NUMBERS[a]} {sign} {NUMBERS[b]}"
    return Exchange(
        "sum", (NUMBERS[a], sign, NUMBERS[b]), (Say(f"what is {task}"),), f"{task} is {NUMBERS[value]}"
    )


def _sum(rng: random.Random) -> Exchange:
    a, b = rng.randrange(10), rng.randrange(10)
    return _sum_of(a, "plus", b) if rng.random() < 0.5 else _sum_of(max(a, b), "minus", min(a, b))


def _neighbour_of(n: int, side: str) -> Exchange:
    beside = NUMBERS[n + 1 if side == "after" else n - 1]
    return Exchange(
        "neighbour",
        (side, NUMBERS[n]),
        (Say(f"what comes {side} {NUMBERS[n]}"),),
        f"{side} {NUMBERS[n]} comes {beside}",
    )


def _neighbour(rng: random.Random) -> Exchange:
    return _neighbour_of(rng.randint(1, 9), rng.choice(("before", "after")))


def _opposite(rng: random.Random) -> Exchange:
    word = rng.choice(sorted(OPPOSITES))
    return Exchange(
        "opposite",
        (word,),
        (Say(f"what is the opposite of {word}"),),
        f"the opposite of {word} is {OPPOSITES[word]}",
    )


def _colour(rng: random.Random) -> Exchange:
    thing = rng.choice(sorted(COLOURS))
    return Exchange(
        "colour", (thing,), (Say(f"what colour is the {thing}"),), f"the {thing} is {COLOURS[thing]}"
    )


def _greeting(rng: random.Random) -> Exchange:
    said = rng.choice(sorted(GREETINGS))
    return Exchange("greeting", (said,), (Say(said),), GREETINGS[said])


def _name(rng: random.Random) -> Exchange:
    name = rng.choice(NAMES)
    return Exchange("name", (name,), (Say(f"my name is {name}"),), f"hello {name}")


def _recall(name: str | None) -> Exchange:
    answer = f"your name is {name}" if name else "i do not know your name"
    return Exchange("recall", (name or "",), (Say("what is my name"),), answer)


def _count(rng: random.Random, lengths: range = COUNTS) -> Exchange:
    last = rng.choice(lengths)
    return Exchange(
        "count", (NUMBERS[last],), (Say(f"count to {NUMBERS[last]}"),), " ".join(NUMBERS[1 : last + 1])
    )


def _broken_count(
    skill: str, rng: random.Random, breaks: Say, stops: bool, after: str, *slots: str
) -> Exchange:
    count = _count(rng, LONG_COUNTS)
    return Exchange(skill, (*count.slots, *slots), count.user, count.answer, breaks, stops, after)


def _stop(rng: random.Random) -> Exchange:
    return _broken_count("stop", rng, Say(rng.choice(STOPS)), True, "okay")


def _question(rng: random.Random, splits: Collection[Split] = ("speech",)) -> Exchange:
    kinds = ("sum", "sum", "opposite", "colour") if "speech" in splits else ("sum",)
    asked = exchange(rng.choice(kinds), rng, splits)
    return _broken_count("question", rng, asked.user[0], True, asked.answer, asked.skill, *asked.slots)


def _murmur(rng: random.Random) -> Exchange:
    said = rng.choice(MURMURS)
    return _broken_count("murmur", rng, Say(said), False, "", said)


def _repeat(rng: random.Random) -> Exchange:
    digits = tuple(rng.choice(DIGITS) for _ in range(3))
    return Exchange("repeat", digits, (Say("repeat after me"), *map(Say, digits)), " ".join(digits))


def _manner(rng: random.Random) -> Exchange:
    manner = rng.choice(MANNERS)
    return Exchange("manner", (manner,), (Say("how do i sound", manner),), f"you sound {manner}")


_DRAW: dict[str, Callable[[random.Random], Exchange]] = {
    "greeting": _greeting,
    "sum": _sum,
    "neighbour": _neighbour,
    "opposite": _opposite,
    "colour": _colour,
    "name": _name,
    "count": _count,
    "stop": _stop,
    "question": _question,
    "murmur": _murmur,
    "repeat": _repeat,
    "manner": _manner,
}


def exchange(
    skill: str, rng: random.Random, splits: Collection[Split] = ("speech",), name: str | None = None
) -> Exchange:
    """One exchange of a skill whose combination belongs to one of `splits`. name: the user's, if they told it."""
    if skill == "recall":
        return _recall(name)
    if skill not in _DRAW:
        raise ValueError(f"there is no skill {skill!r}; the mini-world has {', '.join(SKILLS)}")
    if skill == "question" and "speech" not in splits:
        return _question(rng, splits)
    if skill not in HASHED and "speech" not in splits:
        raise ValueError(f"all combinations of {skill!r} are heard in training; of other splits are {HASHED}")
    while (drawn := _DRAW[skill](rng)).split not in splits:
        pass
    return drawn


# ------------------------------------------------------------------------------------------------- a script


def script(
    rng: random.Random,
    length: int,
    skills: dict[str, float] = SKILLS,
    splits: Collection[Split] = ("speech",),
    can_ask: Callable[[Exchange], bool] = lambda exchange: True,
) -> list[Exchange]:
    """A conversation of up to `length` exchanges that fit together: names are remembered, nobody is greeted twice.

    Loudness is a matter of comparison: how loud or quiet a user is gets asked after they said something else first.
    can_ask: whether the user is able to say their part of an exchange; it becomes shorter where too little is.
    """
    found: list[Exchange] = []
    name = None
    for _ in range(20 * length):
        if len(found) == length:
            break
        skill = rng.choices(list(skills), list(skills.values()))[0]
        if skill == "greeting" and any(e.skill == "greeting" for e in found):
            continue
        if skill == "recall" and name is None and rng.random() < 0.6:  # some were never told
            skill = "name" if "name" in skills else "recall"
        drawn = exchange(skill, rng, splits, name)
        if drawn.slots in (("loud",), ("quiet",)) and drawn.skill == "manner" and not found:
            continue
        if not can_ask(drawn):
            continue
        if drawn.skill == "name":
            name = drawn.slots[0]
        found.append(drawn)
    return found


# --------------------------------------------------------------------------------------------- all that is said


def all_exchanges(splits: Collection[Split] = ("speech",)) -> Iterator[Exchange]:
    """Every exchange of the skills that do not combine others, once each, as far as its split allows."""
    rng = random.Random(0)
    exchanges = [_sum_of(a, "plus", b) for a in range(10) for b in range(10)]
    exchanges += [_sum_of(a, "minus", b) for a in range(10) for b in range(a + 1)]
    exchanges += [_neighbour_of(n, side) for n in range(1, 10) for side in ("before", "after")]
    for draw, many in ((_opposite, 20), (_colour, 6), (_greeting, 5), (_name, 8), (_count, 8), (_manner, 6)):
        seen: dict[tuple[str, ...], Exchange] = {}
        while len(seen) < many:
            drawn = draw(rng)
            seen[drawn.slots] = drawn
        exchanges += [seen[slots] for slots in sorted(seen)]
    exchanges += [_recall(name) for name in (None, *NAMES)]
    return (e for e in exchanges if e.split in splits)


def user_says(splits: Collection[Split] = ("speech",)) -> list[Say]:
    """Everything a user may say, once each."""
    said = [say for e in all_exchanges(splits) for say in e.user]
    said += [Say("repeat after me"), *map(Say, (*DIGITS, *STOPS, *MURMURS))]
    return list(dict.fromkeys(said))


def moshi_says(splits: Collection[Split] = ("speech",)) -> list[tuple[str, str]]:
    """Everything Moshi answers as (skill, text), once each; of the thousand threes of digits every seventh."""
    said = [(e.skill, e.answer) for e in all_exchanges(splits)] + [("stop", "okay")]
    triples = [(a, b, c) for a in DIGITS for b in DIGITS for c in DIGITS][::7]
    said += [("repeat", " ".join(t)) for t in triples if split_of("repeat", t) in splits]
    return list(dict.fromkeys(said))


# what Moshi says in one breath; every other word is said alone
_TOGETHER = (
    ("i do not know your name", "the opposite of", "your name is", "you sound", "you are welcome")
    + tuple(greeting for greeting in GREETINGS.values() if " " in greeting)
    + tuple(f"the {thing}" for thing in COLOURS)
)


def phrases(text: str) -> list[str]:
    """An answer in the pieces in which Moshi says it: whatever depends on the question is a piece of its own.

    In one breath, the beginning of an answer would tell by its sound how it goes on ("you sound h…"), and a model that
    hears itself would learn to listen to that instead of the user.
    """
    found, rest = [], text
    while rest:
        start = next((t for t in _TOGETHER if rest == t or rest.startswith(t + " ")), rest.partition(" ")[0])
        found.append(start)
        rest = rest[len(start) :].lstrip()
    return found


def vocabulary() -> list[str]:
    """Every word of the mini-world, in order."""
    texts = [say.text for say in user_says(SPLITS)] + [text for _, text in moshi_says(SPLITS)]
    return sorted({word for text in texts for word in text.split()})


def text_line(exchanges: list[Exchange]) -> str:
    """A conversation as one line of text for the language model: questions and answers in turn."""
    turns = []
    for e in exchanges:
        turns.append(" ".join(say.text for say in e.user) + " . " + e.answer + " .")
        if e.stops and e.breaks:
            turns.append(f"{e.breaks.text} . {e.after} .")
    return " ".join(turns)
