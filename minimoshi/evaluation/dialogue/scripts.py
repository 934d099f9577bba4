"""What is said in the test episodes, and by whom: drawn before anything is recorded.

Every skill is asked by voices heard in training ("seen"), by voices never heard ("unseen") and, as far as recordings
go, by a real person ("human"). Episodes of the groups "text" and "none" ask, in seen voices, for combinations that
training had in text only, or nowhere. In every one the exchange that it is about comes last, or first for a greeting.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ...data.miniworld import SKILLS, Exchange, Say, exchange
from ...data.miniworld.bank import User, faster, random_user
from ...data.miniworld.skills import BREAKING, HASHED, Split, all_exchanges, script
from .human import SPEAKABLE, can_be_asked

GROUPS = {
    "seen": "voices heard in training, in new takes",
    "unseen": "synthetic voices never heard",
    "human": "a real person never heard (digits and greetings; the words around the digits are synthetic)",
    "text": "seen voices, combinations that training had in text but not in speech",
    "none": "seen voices, combinations that training never had",
    "long": "seen voices, conversations of two to three minutes, in whose middle nobody speaks for 25 s",
    "control": "seen and unseen voices, the same episodes without the user's breaking in",
    "silence": "nobody speaks: silence and three levels of noise",
}
# Episodes of each skill; of silence and long ones in all.
EACH = {"seen": 8, "unseen": 6, "human": 8, "text": 10, "none": 8, "silence": 20, "long": 6}
SILENCE_FRAMES = 375  # 30 s
LONG, LULL_FRAMES = 26, 312  # exchanges of a long episode; frames of silence before the one in its middle
_USERS = 10  # seen voices
_FIRST_USERS = range(24)  # of these; small banks of training have them too
_BEFORE = ("sum", "opposite", "colour", "neighbour", "count")  # what else may be asked in an episode


@dataclass(frozen=True)
class Plan:
    """One test episode to be made. control: the episode of which this one is the control. lulls: frames of silence
    before the exchange of that number."""

    name: str
    group: str
    user: User
    exchanges: tuple[Exchange, ...]
    seed: str  # of all its timing
    control: str = ""
    lulls: Mapping[int, int] = field(default_factory=dict)


def draw_plans(seed: int = 0, each: Mapping[str, int] = EACH, human: bool = False) -> list[Plan]:
    """All episodes of a test set; `human` says whether there are recordings for that group."""
    unknown = each.keys() - EACH.keys()
    if unknown or min(each.values(), default=0) < 0:
        raise ValueError(f"episodes of each skill: expected numbers for {', '.join(EACH)}, got {dict(each)}")
    found: list[Plan] = []
    for group, many in each.items():
        if group == "silence":
            found += _silences(seed, many)
        elif group == "long":
            found += _long(seed, many)
        elif group != "human" or human:
            found += _group(seed, group, many)
    return found + list(_controls(found))


def _group(seed: int, group: str, many: int) -> Iterator[Plan]:
    splits: tuple[Split, ...] = (group,) if group in ("text", "none") else ("speech",)
    skills = _held_out_skills(splits[0]) if splits != ("speech",) else SPEAKABLE if group == "human" else tuple(SKILLS)
    users = users_of(seed, group)
    for number, (copy, skill) in enumerate((copy, skill) for copy in range(many) for skill in skills):
        name = f"{group}-{skill}-{copy:02d}"
        rng = random.Random(f"{seed}/{name}")
        user = users[number % len(users)]
        exchanges = _conversation(rng, skill, splits, alone=group == "human")
        while group == "human" and not all(map(can_be_asked, exchanges)):
            exchanges = _conversation(rng, skill, splits, alone=True)
        yield Plan(name, group, user, tuple(exchanges), f"{seed}/{name}/timing")


def _held_out_skills(split: Split) -> tuple[str, ...]:
    """Skills that have combinations in that split; of the thousand that can be repeated, some are in each."""
    having = {e.skill for e in all_exchanges((split,))} | {"repeat"}
    return tuple(skill for skill in HASHED if skill in having)


def _conversation(rng: random.Random, skill: str, splits: tuple[Split, ...], alone: bool) -> list[Exchange]:
    """One to three exchanges about a skill. alone: nothing but that skill."""
    if skill == "recall":
        name = exchange("name", rng)
        told = rng.random() < 0.7
        between = [exchange(rng.choice(_BEFORE), rng)]
        return [name, *between, exchange("recall", rng, name=name.slots[0])] if told else [
            *between, exchange("recall", rng)
        ]
    asked = exchange(skill, rng, splits)
    others = rng.choices((0, 1, 2), (0.4, 0.4, 0.2))[0]
    if skill == "manner":
        others = max(1, others)  # how loud somebody is, is a matter of comparison
    if alone:
        return [asked, *(exchange(skill, rng, splits) for _ in range(others))]
    around = [exchange(rng.choice(_BEFORE), rng) for _ in range(others)]
    return [asked, *around] if skill == "greeting" else [*around, asked]


def _silences(seed: int, many: int) -> Iterator[Plan]:
    for number in range(many):
        name = f"silence-{number:02d}"
        yield Plan(name, "silence", User(f"nobody-{number % 4}", "", noise=number % 4), (), f"{seed}/{name}")


def _long(seed: int, many: int) -> Iterator[Plan]:
    """What a live session is like: no beginning anew after every question, and a user who thinks for a while."""
    users = users_of(seed, "long")
    for number in range(many):
        name = f"long-{number:02d}"
        exchanges = tuple(script(random.Random(f"{seed}/{name}"), LONG))
        lulls = {LONG // 2: LULL_FRAMES}
        yield Plan(name, "long", users[number % len(users)], exchanges, f"{seed}/{name}/timing", lulls=lulls)


def _controls(plans: Iterable[Plan]) -> Iterator[Plan]:
    """For every episode in which the user breaks in, the same one with the same timing in which they do not."""
    for plan in plans:
        if plan.group != "long" and plan.exchanges and plan.exchanges[-1].skill in BREAKING:
            exchanges = (*plan.exchanges[:-1], plan.exchanges[-1].unbroken)
            yield replace(plan, name=f"control-{plan.name}", group="control", exchanges=exchanges, control=plan.name)


# ------------------------------------------------------------------------------------------------------- users


def users_of(seed: int, group: str) -> list[User]:
    """Who speaks in the episodes of a group."""
    if group == "unseen":
        return [
            User("awb", "flite:awb"),
            User("kumo", "kokoro:jm_kumo", gain_db=2.0, noise=1),
            User("blend", "kokoro:jm_kumo=0.6,jf_alpha=0.4", gain_db=-3.0, room=(0.25, -14.0)),
        ]
    if group == "human":
        return [User("allison", "human")]
    rng = random.Random(f"{seed}/users")
    numbers = sorted(rng.sample(_FIRST_USERS, _USERS))
    return [_new_takes(rng, random_user(random.Random(f"0/{n}"), f"user-{n:03d}")) for n in numbers]


def _new_takes(rng: random.Random, user: User) -> User:
    """A user of training who speaks a little faster or slower, louder or softer than there: no take is the same."""
    other = faster(user, math.exp(rng.choice((-1, 1)) * rng.uniform(0.02, 0.06)))
    gain = user.gain_db + rng.choice((-1, 1)) * rng.uniform(1, 3)
    return replace(other, name=f"{user.name}-new", gain_db=gain)


def says_of(plans: Iterable[Plan], user: str) -> list[Say]:
    """All that a user must say in these episodes, once each."""
    own = (e for plan in plans if plan.user.name == user for e in plan.exchanges)
    return list(dict.fromkeys(say for e in own for say in (*e.user, *filter(None, [e.breaks]))))
