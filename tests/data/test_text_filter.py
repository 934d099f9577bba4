"""Filtering text: hashes that everybody agrees on, a Bloom filter that errs as often as theory says, clean pages."""

import pytest

from minimoshi.data.text_filter import (
    KINDS,
    SAMPLES,
    BloomFilter,
    LanguageIdentifier,
    Page,
    QualityClassifier,
    TextFilter,
    character_ngrams,
    dirty_pages,
    fnv1a,
    labelled_lines,
)


@pytest.fixture(scope="module")
def quality() -> QualityClassifier:
    return QualityClassifier(*labelled_lines("learn", 300))


@pytest.fixture
def cleaner(quality: QualityClassifier) -> TextFilter:
    return TextFilter(LanguageIdentifier(), quality)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0xCBF29CE484222325),
        (b"a", 0xAF63DC4C8601EC8C),
        (b"foobar", 0x85944171F73967E8),
        (b"chongo was here!\n", 0x46810940EFF5F915),
    ],
)
def test_fnv1a_gives_the_published_values(data: bytes, value: int) -> None:
    assert fnv1a(data) == value


@pytest.mark.parametrize("wanted", [0.1, 0.01])
def test_a_bloom_filter_errs_as_often_as_theory_says(wanted: float) -> None:
    bloom, strangers = BloomFilter(2000, wanted), 10_000
    assert all(bloom.add(f"member {n}") or n > 100 for n in range(2000))  # while it is nearly empty, all are new
    assert all(f"member {n}" in bloom for n in range(2000))  # it never forgets
    expected = bloom.false_positives(2000)
    assert expected == pytest.approx(wanted, rel=0.05)
    found = sum(f"stranger {n}" in bloom for n in range(strangers)) / strangers
    assert abs(found - expected) < 4 * (expected / strangers) ** 0.5  # four standard deviations


def test_a_bloom_filter_takes_few_bits_and_a_filled_one_errs_more() -> None:
    bloom = BloomFilter(1000, 0.01)
    assert (bloom.bits, bloom.hashes, len(bloom.array)) == (9586, 7, 1199)
    assert bloom.false_positives(0) == 0 < bloom.false_positives(1000) < bloom.false_positives(4000) < 1
    with pytest.raises(ValueError, match="got 0"):
        BloomFilter(0)
    with pytest.raises(ValueError, match=r"got 10, 1\.0"):
        BloomFilter(10, 1.0)


def test_character_ngrams_see_where_words_begin() -> None:
    assert character_ngrams("ab", 2) == [" ", "a", "b", " ", " a", "ab", "b "]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("she wanted to buy some bread but the shop was closed", "english"),
        ("heute abend gehen wir mit den nachbarn ins kino", "german"),
        ("nous avons mangé du pain avec beaucoup de fromage", "french"),
        ("mañana vamos a comer pescado con mis hermanos", "spanish"),
        ("domani mangiamo il pesce con i miei fratelli", "italian"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    chances = LanguageIdentifier().chances(text)
    assert chances[language] > 0.85 and sum(chances.values()) == pytest.approx(1)


def test_of_an_empty_text_nothing_is_known() -> None:
    assert max(LanguageIdentifier().chances("").values()) == pytest.approx(1 / len(SAMPLES))


def test_kinds_of_lines_are_told_apart(quality: QualityClassifier) -> None:
    lines, kinds = labelled_lines("test", 200)
    found = [quality.kinds[i] for i in quality.chances(lines).argmax(1)]
    assert sum(a == b for a, b in zip(found, kinds, strict=True)) > 190


def test_long_lines_count_for_more(quality: QualityClassifier) -> None:
    good, bad = "the farmer found a golden ring beside the old river", "<td></td>"
    assert quality.score([good]) > 0.9 and quality.score([bad]) < 0.1
    assert quality.score([good, bad]) > 0.7


def test_a_classifier_wants_a_kind_for_every_line() -> None:
    with pytest.raises(ValueError, match="2 lines and 1 kinds"):
        QualityClassifier(["a", "b"], ["prose"])
    with pytest.raises(ValueError, match="0 lines"):
        QualityClassifier([], [])


def test_every_stage_takes_out_what_it_is_for(cleaner: TextFilter) -> None:
    good = ["the farmer found a golden ring beside the river", "my sister opened the window after lunch"]
    german = ["mein bruder kaufte einen schlüssel auf dem markt", "die alte frau suchte das buch im garten"]
    loud = ["BUY NOW!!! THE NEW CAR!", "CLICK HERE!! FREE SHIPPING!"]
    found = ((good, "prose"), (german, "foreign"), (loud, "shouting"), (good, "prose"))
    pages = [Page(lines, [kind] * 2) for lines, kind in found]
    kept = list(cleaner.clean(pages))
    assert [page.lines for page in kept] == [good]
    assert cleaner.dropped == {"seen before": 2, "not English": 2, "not prose": 2}


def test_dirty_pages_come_out_clean(cleaner: TextFilter) -> None:
    pages = dirty_pages("test", 150)
    assert [page.lines for page in pages] == [page.lines for page in dirty_pages("test", 150)]
    before = [kind for page in pages for kind in page.kinds]
    assert set(before) == set(KINDS) and before.count("prose") < 0.6 * len(before)
    kept = list(cleaner.clean(pages))
    after = [kind for page in kept for kind in page.kinds]
    lines = [line for page in kept for line in page.lines]
    assert len(set(lines)) == len(lines)
    assert after.count("prose") > 0.85 * len(after) and not {"foreign", "noise"} & set(after)
    good = {line for page in pages for line, kind in zip(page.lines, page.kinds, strict=True) if kind == "prose"}
    assert after.count("prose") > 0.95 * len(good)
