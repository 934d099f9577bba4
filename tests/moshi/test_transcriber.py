"""The transcriber: learns by the text's delay alone, says when words were said, refuses what it cannot be."""

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch

import minimoshi
from minimoshi import TextTokenizer
from minimoshi.config import EPAD_ID, PAD_ID, MoshiConfig
from minimoshi.data.miniworld.grids import Grid
from minimoshi.evaluation.judge import word_errors
from minimoshi.moshi import HierarchicalGenerator, Transcriber
from minimoshi.moshi.transcriber import LEAD
from minimoshi.training.moshi import MoshiTraining, first_generator
from minimoshi.training.moshi_recipe import MoshiRecipe
from tests.helpers import MOSHI, SPEECH_MIMI, small_codec

SAMPLES = Path(minimoshi.__file__).parent / "serving" / "samples"
WORDS = "one two three four five six".split()
BEHIND, FRAMES = 2, 30


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer.from_pretrained("tiny")


def config(tokenizer) -> MoshiConfig:
    helium = MOSHI.helium.replace(dim=32, hidden=64, context=20, text_card=tokenizer.vocab_size)
    depth = MOSHI.depth.replace(input_dim=32, text_card=tokenizer.vocab_size)
    return MOSHI.replace(helium=helium, depth=depth).transcriber(BEHIND)


def spoken(tokenizer):
    """Somebody says a word every five frames; a word's codes are its number, in its second frame."""
    pieces = [tokenizer.encode(word) for word in WORDS]
    assert all(len(piece) == 1 for piece in pieces)

    def source(rng: random.Random, frames: int) -> Grid:
        codes = torch.zeros(4, frames, dtype=torch.int64)
        codes[0] = PAD_ID
        for at in range(rng.randrange(1, 4), frames - 4, 5):
            number = rng.randrange(len(WORDS))
            codes[0, at - 1], codes[0, at], codes[1:, at + 1] = EPAD_ID, pieces[number][0], 1 + number
        return Grid(codes, torch.zeros(frames, dtype=torch.int64), torch.zeros(frames, dtype=torch.bool))

    return source


@pytest.fixture(scope="module")
def trained(tokenizer):
    torch.manual_seed(0)
    changes = dict(steps=200, batch=8, frames=FRAMES, lr=1e-2, warm_up=5, user_drop=0)
    recipe = MoshiRecipe.named("transcriber").replace(**changes)
    made = MoshiTraining(recipe, spoken(tokenizer), generator=HierarchicalGenerator(config(tokenizer)))
    losses = [made.step(step)["text"] for step in range(recipe.steps)]
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])
    return made.generator.eval()


def test_it_writes_what_it_hears_and_when(trained, tokenizer):
    grid = spoken(tokenizer)(random.Random(99), FRAMES)
    before, after = (torch.zeros(3, many, dtype=torch.int64) for many in (LEAD, BEHIND))
    frames = iter(torch.cat([before, grid.codes[1:], after], 1).split(1, dim=1))
    codec = small_codec(SPEECH_MIMI)
    heard = SimpleNamespace(  # a codec whose codes are known
        n_quantizers=codec.n_quantizers,
        config=codec.config,
        frame_size=codec.frame_size,
        frame_rate=12.5,
        initial_state=lambda: None,
        encode=lambda wav, state: next(frames)[None],
    )
    found = Transcriber(heard, trained, tokenizer)(torch.zeros(FRAMES * codec.frame_size))
    places = [at for at in range(FRAMES) if grid.codes[0, at] not in (PAD_ID, EPAD_ID)]
    wanted = [(tokenizer.piece(int(grid.codes[0, at])).strip("▁"), at / 12.5) for at in places]
    assert len(wanted) >= 4
    assert [(word.text, pytest.approx(word.start)) for word in found] == wanted
    assert all(word.end > word.start for word in found)


def test_it_may_begin_with_the_ears_of_a_model_of_dialogue(tmp_path, monkeypatch, tokenizer):
    helium = MOSHI.helium.replace(dim=32, hidden=64, context=20, text_card=tokenizer.vocab_size)
    dialogue = MOSHI.replace(helium=helium, depth=MOSHI.depth.replace(input_dim=32, text_card=tokenizer.vocab_size))
    monkeypatch.setattr(MoshiConfig, "PRESETS", {"tiny": dialogue.to_dict()})
    talking = HierarchicalGenerator(dialogue)
    talking.save_pretrained(tmp_path / "generator")
    recipe = MoshiRecipe.named("transcriber").replace(start=str(tmp_path / "generator"))
    listening = first_generator(recipe)
    assert listening.config == dialogue.transcriber(recipe.text_behind)
    assert torch.equal(listening.text_model.head.weight, talking.text_model.head.weight)
    assert torch.equal(listening.audio_embedding.weight, talking.audio_embedding.weight[-dialogue.n_user :])
    listening.save_pretrained(tmp_path / "transcriber")  # and from there it goes on as from any other
    again = first_generator(recipe.replace(start=str(tmp_path / "transcriber")))
    assert torch.equal(again.audio_embedding.weight, listening.audio_embedding.weight)


def test_its_text_never_depends_on_later_sound_than_its_delay(trained):
    codes = torch.randint(1, 7, (1, 4, 12))
    codes[:, 0] = PAD_ID
    out = trained(codes).text_logits
    later = codes.clone()
    later[:, 1:, 8:] = 9  # text of frame t may hear the codes up to frame t + BEHIND - 1
    assert torch.allclose(trained(later).text_logits[:, :, : 9 - BEHIND], out[:, :, : 9 - BEHIND], atol=1e-5)
    assert not torch.allclose(trained(later).text_logits[:, :, 9 - BEHIND], out[:, :, 9 - BEHIND], atol=1e-3)


def test_sound_of_any_length_gives_words_within_it(tokenizer):
    torch.manual_seed(1)
    generator = HierarchicalGenerator(config(tokenizer)).eval()
    transcriber = Transcriber(small_codec(SPEECH_MIMI), generator, tokenizer)
    assert transcriber.behind == pytest.approx(BEHIND / 12.5)
    for samples in (1, 1920, 5000):
        words = transcriber(torch.randn(samples) * 0.1)
        assert all(word.start < samples / 24_000 for word in words)
    broken = torch.tensor([float("nan")])
    for wrong in (torch.zeros(2, 1920), torch.zeros(0), torch.zeros(10, dtype=torch.int64), broken, [0.1] * 1920):
        with pytest.raises(ValueError, match="clean mono sound"):
            transcriber(wrong)


def test_what_cannot_transcribe_is_refused(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="MoshiConfig.transcriber"):
        Transcriber(small_codec(SPEECH_MIMI), HierarchicalGenerator(MOSHI), tokenizer)
    with pytest.raises(ValueError, match="at least 1 frame behind"):
        MOSHI.transcriber(0)
    with pytest.raises(ValueError, match="codebooks"):
        few = small_codec(SPEECH_MIMI.replace(n_codebooks=2, n_quantizers=2))
        Transcriber(few, HierarchicalGenerator(config(tokenizer)), tokenizer)
    with pytest.raises(ValueError, match="audio=0 hearing=0"):
        MoshiRecipe(text_behind=6)
    with pytest.raises(FileNotFoundError, match="no trained model named"):
        Transcriber.from_pretrained("enormous")


def test_a_trained_one_is_found_in_its_folder(trained, tmp_path):
    trained.save_pretrained(tmp_path / "t")
    again = HierarchicalGenerator.from_pretrained(tmp_path / "t")
    assert torch.equal(again.text_model.head.weight, trained.text_model.head.weight)
    with pytest.raises(ValueError, match="3 of 32"):  # the shipped codec is another
        Transcriber.from_pretrained(tmp_path / "t")


def test_the_shipped_one_writes_down_the_sample_questions():
    """Voices of the mini-world; not every word, but most."""
    transcriber, wrong, many = Transcriber.from_pretrained("tiny"), 0, 0
    for sample in json.loads((SAMPLES / "samples.json").read_text()):
        wav, rate = soundfile.read(SAMPLES / sample["file"], dtype="float32")
        heard = transcriber(torch.from_numpy(wav))
        assert rate == 24_000 and all(0 <= word.start <= word.end <= len(wav) / rate + 0.1 for word in heard)
        errors, words = word_errors(sample["text"], " ".join(word.text for word in heard))
        wrong, many = wrong + errors, many + words
    assert wrong < 0.15 * many
