"""Training Helium: packed rows, runs that a kill cannot change, a model that learns, and the command."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from minimoshi.cli import main
from minimoshi.config import HeliumConfig
from minimoshi.evaluation.text import NGram, ngram_perplexity, word_perplexity
from minimoshi.text import HeliumModel, TextTokenizer
from minimoshi.training.helium import HeliumRecipe, HeliumTraining, held_out_lines, pack, read_as_much
from minimoshi.training.loop import RunFolder, train
from tests.helpers import same_weights

TINY = TextTokenizer.from_pretrained("tiny")
SMALL = HeliumConfig(dim=32, layers=2, heads=2, hidden=64, context=64, text_card=1000)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HeliumConfig.PRESETS, "tiny", SMALL.to_dict())


def recipe(**changes) -> HeliumRecipe:
    return HeliumRecipe(steps=6, batch=2, tokens=24, warm_up=1, tokenizer="tiny").replace(**changes)


def test_rows_begin_with_a_line_and_lines_end_with_a_marker() -> None:
    encoded = iter([[10, 11], [12], [13, 14, 15], [16, 17]])
    assert pack(encoded, batch=2, tokens=5).tolist() == [[10, 11, 2, 12, 2], [13, 14, 15, 2, 16]]


def test_a_step_has_the_same_batch_each_time() -> None:
    training = HeliumTraining(recipe(), TINY)
    batch = training.batch(3)
    assert torch.equal(batch, training.batch(3)) and not torch.equal(batch, training.batch(4))
    assert batch.shape == (2, 24) and batch.dtype == torch.int64
    assert (batch == 2).any() and not (batch == training.model.initial_id).any()


def test_the_loss_is_that_of_the_next_token() -> None:
    """A model that repeats the token it was given last is right exactly in rows of one token."""
    training = HeliumTraining(recipe(), TINY)
    training.model.forward = lambda tokens: 50.0 * torch.nn.functional.one_hot(tokens.clamp(max=999), 1000)
    assert training.loss(torch.tensor([[999, 999, 999]])).item() < 1e-3  # 999: what the initial token stands for here
    assert training.loss(torch.tensor([[5, 6, 7]])).item() > 49


def test_a_kill_changes_nothing(tmp_path: Path) -> None:
    whole, parts = recipe(), RunFolder(tmp_path / "parts")
    first = HeliumTraining(whole, TINY)
    train(RunFolder(tmp_path / "whole"), "helium", 6, first.step, first.parts())
    stopped = HeliumTraining(whole, TINY)
    train(parts, "helium", 3, stopped.step, stopped.parts())
    resumed = HeliumTraining(whole, TINY)
    torch.nn.init.zeros_(resumed.model.head.weight)  # whatever it is, the checkpoint replaces it
    train(parts, "helium", 6, resumed.step, resumed.parts())
    assert same_weights(first.model, resumed.model) and not same_weights(first.model, stopped.model)


def test_it_learns_to_beat_counting_words() -> None:
    training = HeliumTraining(recipe(steps=60, batch=4, tokens=48, everyday=0.0, lr=1e-2), TINY)
    lines = held_out_lines(40, 0.0)
    before = word_perplexity(training.model, lines)
    for step in range(60):
        training.step(step)
    unigram = ngram_perplexity(NGram(read_as_much(training.recipe, 15_000), order=1), lines)
    assert before > 300 > unigram > 1.5 * word_perplexity(training.model, lines)


def test_lines_for_ngrams_are_as_many_words_as_asked() -> None:
    lines = read_as_much(recipe(), 500)
    words = [len(line.split()) + 1 for line in lines]
    assert sum(words) >= 500 > sum(words[:-1])
    assert held_out_lines(5, 0.0) == held_out_lines(5, 0.0) and not set(lines) & set(held_out_lines(50, 0.5))


def test_bfloat16_learns_too() -> None:
    training = HeliumTraining(recipe(precision="bfloat16"), TINY)
    losses = [training.step(step)["loss"] for step in range(6)]
    assert losses[-1] < losses[0] and training.model.head.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["steps=0"], "at least 1"),
        (["everyday=2"], "from 0 to 1, got 2"),
        (["precision=float16"], "float32 or bfloat16"),
        (["stepz=3"], "did you mean 'steps'"),
        (["steps"], "KEY=VALUE"),
        (["preset=huge"], "no preset"),
    ],
)
def test_bad_numbers_are_refused(changes: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HeliumRecipe.read("tiny", changes)


def test_recipes_by_name_and_by_file(tmp_path: Path) -> None:
    paper = HeliumRecipe.read("paper", ["batch=2"])
    assert (paper.tokens, paper.lr, paper.batch, paper.model.dim) == (4096, 3e-4, 2, 4096)
    (tmp_path / "mine.json").write_text(json.dumps({"steps": 7, "betas": [0.8, 0.9]}))
    assert HeliumRecipe.read(str(tmp_path / "mine.json"), []).betas == (0.8, 0.9)
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        HeliumRecipe.read("nothing.json", [])
    with pytest.raises(ValueError, match="choose one of tiny, paper"):
        HeliumRecipe.read("huge", [])


def test_the_command_goes_from_nothing_to_a_model_that_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("minimoshi.training.helium.train_tokenizer", lambda: TINY)
    monkeypatch.setattr("minimoshi.training.helium.held_out_lines", lambda count, everyday: held_out_lines(4, everyday))
    changes = [part for change in ("steps=4", "batch=1", "tokens=16") for part in ("--set", change)]
    command = ["train", "helium", "--run-dir", str(tmp_path), "--check-every", "2", *changes]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "perplexity, trigram" in printed and "sums right, none (" in printed and "the text model ->" in printed
    rows = [json.loads(row) for row in (tmp_path / "helium.log").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4] and all(row["perplexity"] > 1 for row in rows)
    found = json.loads((tmp_path / "report.json").read_text())
    assert set(found) == {"bigram", "trigram", "5-gram", "helium", "sums right"}
    helium = HeliumModel.from_pretrained(tmp_path / "helium")
    assert helium.tokenizer.proto == TINY.proto
    assert isinstance(helium.generate("what is", max_tokens=3, seed=0), str)
    assert main([*command, "--stage", "train"]) == 0  # nothing left to do
    assert len((tmp_path / "helium.log").read_text().splitlines()) == 2


def test_a_stage_says_which_one_comes_before(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["train", "helium", "--run-dir", str(tmp_path)]
    assert main([*command, "--stage", "train"]) == 2
    assert "run the stage 'tokenizer' first" in capsys.readouterr().err
    assert main([*command, "--stage", "report", "--set", "tokenizer=tiny"]) == 2
    assert "run the stage 'helium' first" in capsys.readouterr().err


def test_the_default_source_is_the_corpus() -> None:
    training = HeliumTraining(recipe(everyday=1.0), TINY)
    texts = [TINY.decode(row) for row in itertools.chain(training.batch(0).tolist())]
    assert all(" . " not in text for text in texts)
