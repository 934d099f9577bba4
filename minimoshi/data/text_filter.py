"""The paper's filtering of web text, in small (§3.2.3): no line twice, English alone, nothing but prose.

The paper's three steps over ten crawls of the web: lines that were seen before go (hashes in a Bloom filter), pages
that are not English with a certainty of 0.85 go, and pages whose lines do not read like good text go. Here the same
on pages made by `dirty_pages`, with classifiers that learn in a second. The paper's fuzzy search for copies of three
lines and more is left out.
"""

from __future__ import annotations

import functools
import math
import random
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .sentences import sentence

# ------------------------------------------------------------------------------------------- no line twice


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash: for each byte, an exclusive or, then a multiplication by a fixed prime."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return found


class BloomFilter:
    """A set of texts in a few bits each. It never forgets a member; now and then it takes a stranger for one.

    Sized so that with `capacity` members a stranger is taken for one with probability `false_positives`.
    """

    def __init__(self, capacity: int, false_positives: float = 0.01):
        if capacity < 1 or not 0 < false_positives < 1:
            raise ValueError(
                f"expected a capacity of 1 or more and a probability between 0 and 1, got {capacity}, {false_positives}"
            )
        self.bits = math.ceil(-capacity * math.log(false_positives) / math.log(2) ** 2)
        self.hashes = max(1, round(self.bits / capacity * math.log(2)))
        self.array = bytearray(-(-self.bits // 8))

    def places(self, text: str) -> list[int]:
        """The bits that stand for a text: its hash cut in two, the second half added again and again to the first."""
        step, first = divmod(fnv1a(text.encode()), 2**32)
        return [(first + n * (step | 1)) % self.bits for n in range(self.hashes)]

    def __contains__(self, text: str) -> bool:
        return all(self.array[place // 8] >> place % 8 & 1 for place in self.places(text))

    def add(self, text: str) -> bool:
        """Put a text in. True if it was new (to the filter's knowledge)."""
        new = text not in self
        for place in self.places(text):
            self.array[place // 8] |= 1 << place % 8
        return new

    def false_positives(self, members: int) -> float:
        """What theory expects with so many members: all bits of a stranger are set already."""
        return (1 - math.exp(-self.hashes * members / self.bits)) ** self.hashes


# ---------------------------------------------------------------------------------------- English alone


def character_ngrams(text: str, longest: int = 3) -> list[str]:
    """All runs of 1 to `longest` characters; a space before and after shows where words begin and end."""
    text = f" {text} "
    return [text[i : i + n] for n in range(1, longest + 1) for i in range(len(text) - n + 1)]


SAMPLES = {
    "english": """the weather is fine today and the children are playing in the street
he said that they would never go there without their friends
which of these books have you read and what did you think of it
the house with the green door belongs to my grandmother
we were walking through the town when it began to rain
there is nothing better than a cup of tea in the morning
she has been working at the hospital for more than ten years
could you tell me where the nearest station is
a bird was sitting on the roof and singing its song
if you want to learn something new you should start right away""",
    "german": """das wetter ist heute schön und die kinder spielen auf der straße
er sagte dass sie niemals ohne ihre freunde dorthin gehen würden
welche von diesen büchern hast du gelesen und was denkst du darüber
das haus mit der grünen tür gehört meiner großmutter
wir gingen gerade durch die stadt als es zu regnen begann
es gibt nichts besseres als eine tasse tee am morgen
sie arbeitet seit mehr als zehn jahren im krankenhaus
können sie mir sagen wo der nächste bahnhof ist
ein vogel saß auf dem dach und sang sein lied
wenn man etwas neues lernen will sollte man sofort anfangen""",
    "french": """il fait beau aujourd'hui et les enfants jouent dans la rue
il a dit qu'ils n'iraient jamais là sans leurs amis
lesquels de ces livres as-tu lus et qu'en penses-tu
la maison à la porte verte appartient à ma grand-mère
nous marchions dans la ville quand il a commencé à pleuvoir
il n'y a rien de mieux qu'une tasse de thé le matin
elle travaille à l'hôpital depuis plus de dix ans
pourriez-vous me dire où se trouve la gare la plus proche
un oiseau était assis sur le toit et chantait sa chanson
si l'on veut apprendre quelque chose il faut commencer tout de suite""",
    "spanish": """hoy hace buen tiempo y los niños juegan en la calle
dijo que nunca irían allí sin sus amigos
cuáles de estos libros has leído y qué piensas de ellos
la casa de la puerta verde pertenece a mi abuela
caminábamos por la ciudad cuando empezó a llover
no hay nada mejor que una taza de té por la mañana
ella trabaja en el hospital desde hace más de diez años
podría decirme dónde está la estación más cercana
un pájaro estaba en el tejado y cantaba su canción
si quieres aprender algo nuevo debes empezar ahora mismo""",
    "italian": """oggi il tempo è bello e i bambini giocano per la strada
disse che non sarebbero mai andati là senza i loro amici
quali di questi libri hai letto e che cosa ne pensi
la casa con la porta verde appartiene a mia nonna
camminavamo per la città quando cominciò a piovere
non c'è niente di meglio che una tazza di tè al mattino
lei lavora all'ospedale da più di dieci anni
potrebbe dirmi dove si trova la stazione più vicina
un uccello stava sul tetto e cantava la sua canzone
se vuoi imparare qualcosa di nuovo devi cominciare subito""",
}  # ten lines a language, all saying the same


class LanguageIdentifier:
    """Which language? Each has its habits: counts of character n-grams, compared by naive Bayes."""

    def __init__(self, samples: dict[str, str] = SAMPLES):
        self.counts = {name: Counter(self._ngrams(text)) for name, text in samples.items()}
        self.known = len(set().union(*self.counts.values()))

    @staticmethod
    def _ngrams(text: str) -> list[str]:
        return [ngram for line in text.lower().splitlines() for ngram in character_ngrams(line)]

    def chances(self, text: str) -> dict[str, float]:
        """Probability of each language; all alike for a text of which nothing is known."""
        ngrams, scores = self._ngrams(text), {}
        for name, counts in self.counts.items():
            total = counts.total() + self.known + 1  # one more for every n-gram, one for all that nobody has seen
            scores[name] = sum(math.log((counts[ngram] + 1) / total) for ngram in ngrams)
        best = max(scores.values())
        weights = {name: math.exp(score - best) for name, score in scores.items()}
        return {name: weight / sum(weights.values()) for name, weight in weights.items()}


# -------------------------------------------------------------------------------------- nothing but prose


class QualityClassifier:
    """What kind of line? Logistic regression on the bag of its character n-grams, which is fastText without its words.

    Each n-gram is hashed into one of `buckets`; a bucket has a weight for every kind; a line's score is their mean.
    """

    def __init__(self, lines: Sequence[str], kinds: Sequence[str], buckets: int = 1024, steps: int = 30):
        if len(lines) != len(kinds) or not lines:
            raise ValueError(f"expected a kind for each line, got {len(lines)} lines and {len(kinds)} kinds")
        self.kinds, self.buckets = sorted(set(kinds)), buckets
        bags, wanted = self._bags(lines), torch.tensor([self.kinds.index(kind) for kind in kinds])
        with torch.enable_grad():
            self.weights = torch.zeros(buckets, len(self.kinds), requires_grad=True)
            optimiser = torch.optim.Adam([self.weights], lr=0.5)
            for _ in range(steps):
                loss = F.cross_entropy(bags @ self.weights, wanted)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    def _bags(self, lines: Sequence[str]) -> Tensor:
        """float [N, buckets]: which share of a line's n-grams falls into each bucket."""
        rows = [torch.tensor([_bucket(ngram, self.buckets) for ngram in character_ngrams(line)]) for line in lines]
        return torch.stack([row.bincount(minlength=self.buckets) / len(row) for row in rows])

    @torch.no_grad()
    def chances(self, lines: Sequence[str]) -> Tensor:
        """Probabilities [N, kinds]."""
        return (self._bags(lines) @ self.weights).softmax(-1)

    def score(self, lines: Sequence[str], kind: str = "prose") -> float:
        """How far a page is of this kind, 0 to 1: the mean over its lines, long ones counting for more."""
        chance = self.chances(lines)[:, self.kinds.index(kind)]
        length = torch.tensor([float(len(line)) for line in lines]).clamp(min=1)
        return ((chance * length).sum() / length.sum()).item()


@functools.lru_cache(maxsize=100_000)
def _bucket(ngram: str, buckets: int) -> int:
    return fnv1a(ngram.encode()) % buckets


# ------------------------------------------------------------------------------------------------- all three


@dataclass
class Page:
    """Lines as a crawler finds them; for pages made here, what each line is."""

    lines: list[str]
    kinds: list[str]


class TextFilter:
    """Pages in, what is worth learning from out. `dropped` counts the lines that went, by reason."""

    def __init__(
        self,
        languages: LanguageIdentifier,
        quality: QualityClassifier,
        capacity: int = 100_000,
        english: float = 0.85,
        prose: float = 0.5,
    ):
        self.languages, self.quality, self.seen = languages, quality, BloomFilter(capacity)
        self.english, self.prose = english, prose
        self.dropped: Counter[str] = Counter()

    def clean(self, pages: Iterable[Page]) -> Iterator[Page]:
        """The pages that pass, without the lines that came before."""
        for page in pages:
            new = [self.seen.add(line) for line in page.lines]
            self.dropped["seen before"] += new.count(False)
            pairs = [pair for pair, is_new in zip(zip(page.lines, page.kinds, strict=True), new, strict=True) if is_new]
            if not pairs:
                continue
            lines, kinds = map(list, zip(*pairs, strict=True))
            if self.languages.chances("\n".join(lines))["english"] < self.english:
                self.dropped["not English"] += len(lines)
            elif self.quality.score(lines) < self.prose:
                self.dropped["not prose"] += len(lines)
            else:
                yield Page(lines, kinds)


# ------------------------------------------------------------------------------------------ something dirty

_FOREIGN = {  # subjects, verbs, objects, places: combined into sentences that SAMPLES does not hold
    "german": ("mein bruder/die alte frau/der lehrer/ein junger mann", "kaufte/suchte/fand/vergaß",
               "einen schlüssel/das buch/zwei äpfel/die zeitung", "im garten/hinter der kirche/am fluss/auf dem markt"),
    "french": ("mon frère/la vieille dame/le professeur/un jeune homme", "achetait/cherchait/trouvait/oubliait",
               "une clé/le livre/deux pommes/le journal", "dans le jardin/derrière l'église/au marché/près du pont"),
    "spanish": ("mi hermano/la señora vieja/el profesor/un joven", "compraba/buscaba/encontraba/olvidaba",
                "una llave/el libro/dos manzanas/el periódico", "en el jardín/detrás de la iglesia/en el mercado"),
    "italian": ("mio fratello/la vecchia signora/il professore/un giovane", "comprava/cercava/trovava/dimenticava",
                "una chiave/il libro/due mele/il giornale", "nel giardino/dietro la chiesa/al mercato/vicino al ponte"),
}  # fmt: skip
_MENU = "home/about us/contact/privacy/terms of use/log in/sign up/site map/help/search/next page/share".split("/")
_NOTICES = [
    "copyright {} all rights reserved",
    "this site uses cookies to improve your experience",
    "click here to subscribe to our newsletter",
    "posted by admin in category {}, tagged {}",
    "{} comments, leave a reply",
    "page {} of {}",
]
_TAGS = "div span td li a p ul table img script".split()
_SHOUTS = "BUY NOW/FREE SHIPPING/CLICK HERE/BEST PRICE EVER/YOU WON/LIMITED OFFER/ACT FAST/100% FREE".split("/")


def _foreign(rng: random.Random) -> str:
    return " ".join(rng.choice(part.split("/")) for part in _FOREIGN[rng.choice(sorted(_FOREIGN))])


def _boilerplate(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return " | ".join(rng.sample(_MENU, rng.randint(3, 5)))
    return rng.choice(_NOTICES).format(rng.randint(1, 2030), rng.randint(1, 99))


def _markup(rng: random.Random) -> str:
    tag, word = rng.choice(_TAGS), sentence(rng, everyday=1.0).split()[0]
    inner, number = f'<{rng.choice(_TAGS)} href="/{word}?id={rng.randint(1, 9999)}">', rng.randint(1, 40)
    return rng.choice((f'<{tag} class="{word}-{number}">{inner}', f"{inner}{word}</{tag}>", f"&nbsp;</{tag}>"))


def _shouting(rng: random.Random) -> str:
    words = sentence(rng, everyday=1.0).upper()
    return f"{rng.choice(_SHOUTS)}{'!' * rng.randint(1, 5)} {words}{'!' * rng.randint(0, 3)}"


def _noise(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits + "=+/#$%  ", k=rng.randint(12, 60)))


_MAKE = {
    "prose": lambda rng: sentence(rng, everyday=1.0),
    "foreign": _foreign,
    "boilerplate": _boilerplate,
    "markup": _markup,
    "shouting": _shouting,
    "noise": _noise,
}
KINDS = tuple(_MAKE)
_PAGES = {"prose": 0.55, "foreign": 0.15, "boilerplate": 0.06, "markup": 0.08, "shouting": 0.08, "noise": 0.08}


def dirty_pages(seed: int | str, count: int) -> list[Page]:
    """Pages as bad as the web's: good prose, some of it copied; menus everywhere; other languages; rubbish."""
    rng, pages = random.Random(seed), []
    for _ in range(count):
        kind = rng.choices(list(_PAGES), list(_PAGES.values()))[0]
        lines = [_MAKE[kind](rng) for _ in range(rng.randint(3, 9))]
        kinds = [kind] * len(lines)
        if pages and kind == "prose" and rng.random() < 0.25:  # copied from an earlier page
            copied = rng.choice(pages)
            lines, kinds = list(copied.lines), list(copied.kinds)
        if rng.random() < 0.5:
            lines, kinds = [_boilerplate(rng), *lines], ["boilerplate", *kinds]
        pages.append(Page(lines, kinds))
    return pages


def labelled_lines(seed: int | str, count: int) -> tuple[list[str], list[str]]:
    """Lines and their kinds for a `QualityClassifier`, half of them prose; other languages are not its business."""
    rng, rubbish = random.Random(seed), [kind for kind in KINDS if kind not in ("prose", "foreign")]
    kinds = ["prose" if rng.random() < 0.5 else rng.choice(rubbish) for _ in range(count)]
    return [_MAKE[kind](rng) for kind in kinds], kinds
