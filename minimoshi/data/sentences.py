"""Sentences to be spoken: the mini-world's own, and varied everyday English for phonetic coverage.

All text is generated here from word lists and templates, numbers are spelled out, and the same seed gives the
same sentences. `sentence(rng)` draws one; `numbers_in_words(n)` spells 0 to 999.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

NAMES = (
    "anna tom emma david lucy peter maria john sophie james alice henry laura paul julia mark nina oliver "
    "grace leo sarah george ruth victor helen oscar clara simon rosa felix martha hugo iris daniel zoe adam "
    "ella ben chloe jack kate lily max olga philip rachel sam tina walter yvonne"
).split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_ORDINALS = "first second third fourth fifth tenth".split()
MONTHS = "january february march april may june july august september october november december".split()
COLOURS = "red green blue yellow orange purple black white brown pink grey silver golden".split()
OPPOSITES = [
    pair.split("/")
    for pair in (
        "hot/cold big/small old/young fast/slow happy/sad good/bad day/night up/down open/closed light/dark "
        "full/empty hard/soft high/low left/right rich/poor early/late wet/dry loud/quiet strong/weak "
        "long/short"
    ).split()
]
FACTS = [
    ("what colour is the sky", "the sky is blue"),
    ("what colour is the grass", "the grass is green"),
    ("what colour is snow", "snow is white"),
    ("what colour is a lemon", "a lemon is yellow"),
    ("what is the capital of france", "the capital of france is paris"),
    ("what is the capital of italy", "the capital of italy is rome"),
    ("what is the capital of spain", "the capital of spain is madrid"),
    ("what is the capital of japan", "the capital of japan is tokyo"),
    ("how many legs has a spider", "a spider has eight legs"),
    ("how many days are in a week", "a week has seven days"),
    ("what do bees make", "bees make honey"),
    ("what do cows give", "cows give milk"),
]

_PEOPLE = (
    "brother sister mother father uncle aunt cousin neighbour teacher farmer doctor nurse captain baker "
    "lawyer painter driver singer dancer judge soldier tailor poet pilot student visitor stranger gardener "
    "engineer king queen grandmother grandfather child boy girl woman man friend boss guest waiter thief "
    "hunter shepherd plumber chemist musician author clerk mayor sailor wizard giant"
).split()
_THINGS = (
    "apple arrow axe bag ball banana basket bath bean bed bell belt bench bird blanket boat book boot bottle "
    "bowl box branch bread brick brush bucket button cake camera candle carpet carrot chain chair cheese "
    "cherry clock cloth coat coin cup curtain desk diary dish doll door dress drum egg envelope fan feather "
    "fence flag flower fork frame garage gate gift glass glove guitar hammer hat hook horn ink jacket jar "
    "jewel judge key kettle knife ladder lamp leaf letter lid lock machine map mask match measure medal milk "
    "mirror mouse mug nail necklace needle nest net newspaper note nut onion oven paddle page painting paper "
    "parcel pear pen pencil phone piano picture pie pillow pipe plate pocket poem pot potato prize purse "
    "puzzle radio rake ring rope rose rug saddle sandwich saw scarf seed sheet shelf shell shirt shoe shovel "
    "sign soap sofa soup spade spoon stamp statue stick stone stool string suitcase sword table tent thimble "
    "ticket tie toast tooth torch towel toy tray treasure treaty trumpet umbrella vase vegetable violin "
    "wagon wallet watch wheel whistle window wire wool yoghurt zip"
).split()
_ANIMALS = (
    "ant bear bee butterfly camel cat chicken cow deer dog donkey dove duck eagle elephant fish fly fox frog "
    "giraffe goat goose hare hawk hedgehog hen horse jaguar kangaroo kitten lamb lion lizard monkey moth "
    "mouse mule otter owl ox panda parrot penguin pig pigeon pony puppy rabbit rat raven seal shark sheep "
    "snail snake spider squirrel swan tiger toad turkey turtle vulture walrus wasp whale wolf worm yak zebra"
).split()
_PLACES = (
    "airport attic balcony bank barn basement beach bridge castle cathedral cave cellar church city coast "
    "cottage desert factory farm field forest fountain garden hall harbour hill hospital hotel house island "
    "jungle kitchen lake library lighthouse market meadow mill mountain museum office orchard palace park "
    "path pier pond port prison river road roof school shop square stable station street theatre tower town "
    "tunnel valley village wall yard"
).split()
_ADJECTIVES = (
    "ancient angry awful beautiful bitter bold brave brief bright broad broken busy calm careful cheap "
    "cheerful clean clear clever clumsy cold common cosy crazy cruel curious dangerous dark deep delicate "
    "dirty dry dull dusty eager easy elegant empty enormous faint fair faithful famous fancy fat fierce fine "
    "flat foolish foreign fresh friendly frozen funny gentle genuine giant glad gloomy graceful grand great "
    "greedy handsome happy harsh heavy hollow honest huge humble hungry icy jolly joyful juicy kind large "
    "lazy light little lively lonely loose lovely lucky mad major mild modern muddy narrow nasty neat "
    "nervous noisy obvious odd ordinary pale patient perfect plain pleasant polite pretty proud pure quick "
    "quiet rare rich ripe rough round royal rude rusty salty secret serious shallow sharp shiny shy silent "
    "silly simple sleepy slim smart smooth soft solid sore sour spare square steady steep sticky stiff "
    "strange strict strong sudden sweet tall tender thick thin thirsty tidy tiny tired tough true ugly "
    "unusual useful vast warm weak weird wet whole wicked wide wild wise wonderful wooden young"
).split()
_DID = (
    "admired asked about baked borrowed bought brought broke built burned buried carried caught changed "
    "chased checked chose cleaned climbed over collected copied counted covered crushed dragged drew dreamed "
    "about dropped enjoyed fetched filled fixed followed forgot found gathered gave away grabbed guarded hid "
    "hated held imagined joined jumped over kept kicked knocked over laughed at left lifted liked looked for "
    "lost loved made measured mended moved needed noticed offered opened painted paid for photographed "
    "picked up placed planned pointed at polished praised pulled pushed put down reached for received "
    "refused remembered removed repaired returned rubbed saved saw searched sold sent shared shook showed me "
    "smelled spoiled stole studied swallowed talked about threw tied touched used valued visited wanted "
    "washed watched weighed wished for wrapped wrote about"
)
_PARTICLES = {"about", "over", "away", "at", "for", "up", "down", "me"}
_WHEN = [
    "after lunch", "before the storm", "every morning", "at the end of the day", "during the long winter",
    "just now", "for the first time", "shortly before midnight", "on a rainy afternoon",
    "while the others slept", "again and again", "two years ago", "last summer", "at half past six",
    "without saying a word", "with a smile", "in a great hurry", "as usual", "by mistake", "with both hands",
    "because of the noise", "in spite of the weather", "all through the night", "when the bell rang",
    "as soon as possible", "without any help", "once upon a time", "with great pleasure",
    "later that evening", "though nobody knew why", "against all advice", "quite by accident",
    "more than once",
]  # fmt: skip
_PREPOSITIONS = [
    "in", "near", "behind", "beside", "outside", "inside", "above", "below", "beyond", "across from",
    "next to", "on top of", "in front of", "on the way to", "not far from", "towards", "around",
    "between the river and", "past",
]  # fmt: skip
_UNCOUNTED = (
    "water air sand rain thunder sunshine fire smoke sugar salt pepper honey butter coffee tea juice oil "
    "gold iron leather cotton music laughter courage patience pleasure trouble friendship advice knowledge "
    "leisure justice freedom youth health wealth luck hope fear joy wisdom silence beauty strength truth"
).split()
_REMARKS = [
    "how are you today", "i am fine thank you", "nice to meet you", "see you tomorrow", "good evening",
    "good night", "you are welcome", "of course", "yes please", "no thank you", "i do not think so",
    "that sounds wonderful", "what a pity", "never mind", "excuse me", "i beg your pardon",
    "please wait a moment", "can you hear me", "could you say that again", "i would rather stay at home",
    "they should have asked us", "we might as well go now", "who knows", "why not", "where have you been",
    "whose turn is it", "which way is it", "how much does it cost", "it depends on the weather",
    "let us go for a walk", "it is getting late", "thank you very much", "mhm", "yes", "no", "okay", "stop",
    "uh huh", "right", "sure", "wait", "be careful", "hurry up", "hello", "hi", "goodbye", "bye bye",
    "good morning", "good afternoon", "have a nice day", "tell me more", "i see what you mean",
    "are you still there",
]  # fmt: skip


def numbers_in_words(n: int) -> str:
    """`n` from 0 to 999 as English words: 347 -> "three hundred and forty seven"."""
    if not 0 <= n <= 999:
        raise ValueError(f"{n}: only 0 to 999 can be spelled out")
    if n < 20:
        return _UNITS[n]
    if n < 100:
        return _TENS[n // 10 - 2] + (f" {_UNITS[n % 10]}" if n % 10 else "")
    return f"{_UNITS[n // 100]} hundred" + (f" and {numbers_in_words(n % 100)}" if n % 100 else "")


def _verbs() -> list[str]:
    verbs: list[str] = []
    for word in _DID.split():
        if word in _PARTICLES and verbs:
            verbs[-1] += f" {word}"
        else:
            verbs.append(word)
    return verbs


_VERBS = _verbs()


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _thing(rng: random.Random) -> str:
    noun = rng.choice(rng.choice((_THINGS, _THINGS, _ANIMALS)))
    phrase = rng.choice((noun, f"{rng.choice(_ADJECTIVES)} {noun}", f"{rng.choice(COLOURS)} {noun}"))
    return rng.choice((f"the {phrase}", _article(phrase), f"my {phrase}", f"this {phrase}", f"her {phrase}"))


def _person(rng: random.Random) -> str:
    who = rng.choice(_PEOPLE)
    old = rng.choice(_ADJECTIVES)
    return rng.choice((rng.choice(NAMES), f"the {who}", f"my {who}", f"the {old} {who}", f"their {who}"))


def _where(rng: random.Random) -> str:
    return f"{rng.choice(_PREPOSITIONS)} the {rng.choice(_PLACES)}"


def _story(rng: random.Random) -> str:
    who, did, what = _person(rng), rng.choice(_VERBS), _thing(rng)
    where, when, adjective = _where(rng), rng.choice(_WHEN), rng.choice(_ADJECTIVES)
    return rng.choice(
        (
            f"{who} {did} {what} {where}",
            f"{who} {did} {what} {when}",
            f"{when} {who} {did} {what}",
            f"{who} said that {what} was {adjective}",
            f"why is {what} so {adjective}",
            f"there was {what} {where} {when}",
            f"{rng.choice(_UNCOUNTED)} and {rng.choice(_UNCOUNTED)} are {adjective} things",
            f"we need more {rng.choice(_UNCOUNTED)} {where}",
            f"have you ever seen {_article(adjective)} {rng.choice(_ANIMALS)}",
            f"if {who} {did} {what} it would be {adjective}",
            f"there are {numbers_in_words(rng.randint(2, 999))} steps from the {rng.choice(_PLACES)} to the "
            f"{rng.choice(_PLACES)}",
        )
    )


def _sum(rng: random.Random) -> str:
    sign = rng.choice(("plus", "minus", "times"))
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    a, b = (max(a, b), min(a, b)) if sign == "minus" else (a % 11, b % 11) if sign == "times" else (a, b)
    result = {"plus": a + b, "minus": a - b, "times": a * b}[sign]
    task = f"{numbers_in_words(a)} {sign} {numbers_in_words(b)}"
    return rng.choice((f"what is {task}", f"{task} is {numbers_in_words(result)}", f"how much is {task}"))


def _counting(rng: random.Random) -> str:
    if rng.random() < 0.5:
        last = rng.randint(4, 9)
        return rng.choice((f"count to {_UNITS[last]}", " ".join(_UNITS[1 : last + 1])))
    digits = " ".join(rng.choice(_UNITS[:10]) for _ in range(rng.randint(3, 6)))
    return rng.choice((f"repeat after me {digits}", digits, f"my number is {digits}"))


def _question(rng: random.Random) -> str:
    ask, answer = rng.choice(FACTS)
    a, b = rng.sample(rng.choice(OPPOSITES), 2)
    return rng.choice((ask, answer, f"what is the opposite of {a}", b, f"the opposite of {a} is {b}"))


def _memory(rng: random.Random) -> str:
    name = rng.choice(NAMES)
    return rng.choice(
        (
            f"my name is {name}",
            f"hello {name} nice to meet you",
            f"your name is {name}",
            "what is my name",
            "i do not know your name",
            f"good morning i am {name}",
            f"goodbye {name}",
        )
    )


def _manner(rng: random.Random) -> str:
    kind = rng.choice("high low fast slow loud quiet".split())
    return rng.choice(("how do i sound", f"you sound {kind}", f"your voice is {kind}"))


def _calendar(rng: random.Random) -> str:
    day, month = rng.choice(DAYS), rng.choice(MONTHS)
    return rng.choice(
        (
            f"today is {day} the {rng.choice(_ORDINALS)} of {month}",
            f"what day comes after {day}",
            f"her birthday is in {month}",
            f"the meeting is on {day} at {numbers_in_words(rng.randint(1, 12))} o'clock",
        )
    )


def _remark(rng: random.Random) -> str:
    return " ".join(rng.choice(_REMARKS) for _ in range(rng.choice((1, 1, 2))))


MINI_WORLD: tuple[Callable[[random.Random], str], ...] = (
    _sum,
    _counting,
    _question,
    _memory,
    _manner,
    _remark,
)
EVERYDAY: tuple[Callable[[random.Random], str], ...] = (_story, _story, _story, _story, _calendar, _remark)


def sentence(rng: random.Random, everyday: float = 0.6) -> str:
    """One sentence: of everyday English with probability `everyday`, else of the mini-world."""
    return rng.choice(EVERYDAY if rng.random() < everyday else MINI_WORLD)(rng)


def sentences(seed: int | str, everyday: float = 0.6) -> Iterator[str]:
    """Endless sentences; the same seed gives the same ones."""
    rng = random.Random(seed)
    while True:
        yield sentence(rng, everyday)
