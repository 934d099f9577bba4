"""Measures of text models: n-grams by hand, perplexity against its definition, answers against greedy ones."""

import math
from itertools import product

import pytest
import torch

from minimoshi.evaluation.text import END, NGram, answered, line_nats, ngram_perplexity, sums, word_perplexity
from minimoshi.text import HeliumModel, TextTokenizer
from tests.helpers import HELIUM

LINES = ["a b", "a c"]


@pytest.fixture
def helium(tokenizer: TextTokenizer) -> HeliumModel:
    torch.manual_seed(0)
    return HeliumModel(HELIUM.replace(text_card=tokenizer.vocab_size), tokenizer).eval()


def test_a_bigram_by_hand() -> None:
    """Words a 2, b 1, c 1, end 2, so 6 in all, 4 kinds, and 5 with the unknown one; half a count is given away."""
    bigram = NGram(LINES, order=2, discount=0.5)
    single_a, single_b = 1.5 / 6 + 0.5 * 4 / 6 / 5, 0.5 / 6 + 0.5 * 4 / 6 / 5
    assert bigram.chance("a") == pytest.approx(single_a)
    assert bigram.chance("b", ["a"]) == pytest.approx(0.5 / 2 + 0.5 * 2 / 2 * single_b)
    assert bigram.chance("never", ["a"]) == pytest.approx(0.5 * 2 / 2 * 0.5 * 4 / 6 / 5)
    assert bigram.chance("b", ["never"]) == pytest.approx(single_b)


def test_a_line_and_its_end_by_hand() -> None:
    unigram = NGram(["a"], order=1, discount=0.5)  # a 1, end 1; 3 words with the unknown one
    each = 0.5 / 2 + 0.5 * 2 / 2 / 3
    assert unigram.nats("a a") == pytest.approx(-3 * math.log(each))
    assert ngram_perplexity(unigram, ["a a"]) == pytest.approx(1 / each)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_chances_add_up_to_one(order: int) -> None:
    ngram = NGram(["a b a", "b", "c a b"], order)
    for history in product(["a", "b", "c", "new"], repeat=order - 1):
        assert sum(ngram.chance(word, history) for word in ngram.words) == pytest.approx(1)


def test_longer_histories_help_where_they_matter() -> None:
    lines = ["x a y", "z a w"] * 20
    bigram, trigram = (ngram_perplexity(NGram(lines, order), lines) for order in (2, 3))
    assert trigram < 0.9 * bigram
    assert NGram(lines, 3).chance(END, ["a", "y"]) > 0.9


def test_bad_ngrams_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        NGram(LINES, 0)
    with pytest.raises(ValueError, match=r"1\.5"):
        NGram(LINES, 2, 1.5)
    with pytest.raises(ValueError, match="no text"):
        NGram([])
    with pytest.raises(ValueError, match="no lines"):
        ngram_perplexity(NGram(LINES), [])


def test_line_nats_are_the_sum_over_its_tokens(helium: HeliumModel) -> None:
    line = "what is three plus four"
    ids = [*helium.tokenizer.encode(line), 2]
    expected, given = 0.0, [helium.initial_id]
    for token in ids:
        expected -= helium(torch.tensor([given]))[0, -1].log_softmax(-1)[token].item()
        given.append(token)
    found = line_nats(helium, ["my name is anna and so on", line])  # a longer neighbour changes nothing
    assert found[1] == pytest.approx(expected, rel=1e-4)
    assert word_perplexity(helium, [line]) == pytest.approx(math.exp(expected / 6), rel=1e-4)


def test_an_untrained_model_knows_nothing(helium: HeliumModel) -> None:
    torch.nn.init.zeros_(helium.head.weight)  # every token alike
    nats = line_nats(helium, ["seven"])[0]
    assert nats == pytest.approx(2 * math.log(helium.config.text_card), rel=1e-4)


def test_sums_belong_to_their_split() -> None:
    splits = [sums(split) for split in ("speech", "text", "none")]
    slots = [{e.slots for e in some} for some in splits]
    assert sum(map(len, slots)) == len(set.union(*slots)) == 155
    assert len(slots[0]) > len(slots[1]) > len(slots[2]) > 0


def knows(helium: HeliumModel, texts: list[str]) -> None:
    """Let the model continue these texts, and nothing else, as they go on."""
    after = {}
    for text in texts:
        row = [helium.initial_id, *helium.tokenizer.encode(text)]
        after |= {tuple(row[:place]): row[place] for place in range(1, len(row))}

    def forward(tokens: torch.Tensor) -> torch.Tensor:
        found = [[after.get(tuple(row[: place + 1]), 0) for place in range(len(row))] for row in tokens.tolist()]
        return torch.nn.functional.one_hot(torch.tensor(found), helium.config.text_card).float()

    helium.forward = forward


def test_an_answer_counts_when_every_word_of_it_would_be_said(helium: HeliumModel) -> None:
    asked = sums("speech")[:20]
    lines = [f"{e.user[0].text} . {e.answer} ." for e in asked]
    knows(helium, lines[:17])
    assert answered(helium, asked) == [True] * 17 + [False] * 3
    knows(helium, [lines[0], lines[1].replace(asked[1].answer.split()[-1] + " .", "nine ."), lines[2][:-2]])
    assert answered(helium, asked[:3]) == [True, False, False]  # a wrong number; an answer that does not end
