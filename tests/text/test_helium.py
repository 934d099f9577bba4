"""Helium: what it predicts, and text out of it."""

from pathlib import Path

import pytest
import torch

from minimoshi.config import HeliumConfig
from minimoshi.nn.embedding import ZERO_TOKEN
from minimoshi.text import HeliumModel, TextTokenizer
from tests.helpers import HELIUM, amplify, assert_same, numbers, refused


@pytest.fixture
def talker(tokenizer: TextTokenizer) -> HeliumModel:
    """A random Helium with a real tokenizer, loud enough to be sure of its words."""
    model = HeliumModel(HELIUM.replace(text_card=tokenizer.vocab_size), tokenizer).eval()
    amplify(model.head, gain=4)
    return model


def rollout(model: HeliumModel, prompt: str, tokens: int) -> list[int]:
    """Greedy continuation without a cache: the whole text again for every token."""
    ids = [model.initial_id, *model.tokenizer.encode(prompt)]
    start = len(ids)
    for _ in range(tokens):
        following = int(model(torch.tensor([ids]))[0, -1].argmax())
        if following in (1, 2):
            break
        ids.append(following)
    return ids[start:]


@pytest.mark.parametrize("prompt", ["", "hello", "what is three plus four"])
def test_greedy_generation_is_the_argmax_rollout(talker: HeliumModel, prompt: str) -> None:
    expected = rollout(talker, prompt, 20)
    assert len(set(expected)) > 2
    assert talker.generate(prompt, max_tokens=20, temperature=0) == talker.tokenizer.decode(expected)


def test_top_1_is_greedy(talker: HeliumModel) -> None:
    greedy = talker.generate("hello", max_tokens=10, temperature=0)
    assert talker.generate("hello", max_tokens=10, temperature=1.0, top_k=1, seed=3) == greedy


def test_a_seed_decides_the_text(talker: HeliumModel) -> None:
    texts = [talker.generate("hello", max_tokens=12, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_generation_leaves_the_global_random_state_alone(talker: HeliumModel) -> None:
    before = torch.get_rng_state()
    talker.generate("hello", max_tokens=5, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("end", [1, 2])
def test_generation_ends_with_the_sentence(talker: HeliumModel, end: int) -> None:
    """A model that is sure of a word, then of a sentence marker, then of the word again, says it once."""
    (word,) = talker.tokenizer.encode("seven")
    script = iter([word, end, word])
    original = talker.head.forward
    talker.head.forward = lambda x: original(x).index_fill(-1, torch.tensor([next(script)]), 100.0)
    assert talker.generate("hello", max_tokens=3, temperature=0) == "seven"


def test_logits_have_a_row_per_piece_and_the_initial_token_is_only_an_input() -> None:
    model = HeliumModel(HELIUM)
    assert model.initial_id == 20
    assert model(torch.tensor([[model.initial_id, 0, 19]])).shape == (1, 3, 20)
    assert HeliumModel(HELIUM.replace(text_card_out=5))(torch.tensor([[1]])).shape == (1, 1, 5)


def test_the_zero_token_adds_nothing() -> None:
    assert not HeliumModel(HELIUM).embed(torch.tensor([[ZERO_TOKEN]])).any()


def test_weights_start_at_one_over_root_fan_in() -> None:
    model = HeliumModel(HeliumConfig(dim=256, layers=1, heads=4, hidden=512, text_card=100))
    layer = model.transformer.layers[0]
    for weight in (layer.attention.in_proj.weight, layer.feed_forward.linear_out.weight, model.embedding.weight):
        assert weight.std().item() == pytest.approx(weight.shape[-1] ** -0.5, rel=0.05)
        assert weight.abs().max() <= 3 * weight.shape[-1] ** -0.5


def test_size_is_what_the_numbers_say() -> None:
    d, h, v = 16, 24, 20
    per_layer = 3 * d * d + d * d + d * 2 * h + h * d + 2 * d
    assert numbers(HeliumModel(HELIUM)) == (v + 1) * d + 2 * per_layer + d + d * v


@pytest.mark.parametrize(
    "tokens, words",
    [
        (torch.tensor([[21]]), ["0..20", "21..21"]),
        (torch.tensor([[0, -2]]), ["0..20", "-2..0"]),
        (torch.tensor([1, 2]), ["[B, T]", "[2]"]),
        (torch.tensor([[1.0]]), ["int64", "float32"]),
        (torch.zeros(1, 0, dtype=torch.int64), ["[B, T]", "[1, 0]"]),
    ],
)
def test_bad_tokens_are_refused(tokens: torch.Tensor, words: list[str]) -> None:
    model = HeliumModel(HELIUM)
    state = model.initial_state(1)
    model(torch.tensor([[1, 2]]), state)
    with refused(state, *words):
        model(tokens, state)


def test_a_tokenizer_must_fit(tokenizer: TextTokenizer) -> None:
    with refused(None, f"{tokenizer.vocab_size} pieces", "20 rows"):
        HeliumModel(HELIUM, tokenizer)
    with refused(None, "no tokenizer"):
        HeliumModel(HELIUM).generate("hello")


def test_the_tokenizer_travels_with_the_model(talker: HeliumModel, tmp_path: Path) -> None:
    talker.save_pretrained(tmp_path)
    loaded = HeliumModel.from_pretrained(tmp_path)
    assert loaded.generate("hello", max_tokens=8, seed=0) == talker.generate("hello", max_tokens=8, seed=0)
    tokens = torch.randint(20, (2, 9))
    assert_same(loaded(tokens), talker(tokens), 0)
