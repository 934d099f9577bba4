"""The generator's training: what it is shown, what it is asked, that it learns, and that a kill does not hurt it."""

import random
from dataclasses import replace

import pytest
import torch

from minimoshi.config import PAD_ID, DepthConfig, HeliumConfig, MimiConfig, MoshiConfig
from minimoshi.data.miniworld.grids import Grid
from minimoshi.data.miniworld.skills import vocabulary
from minimoshi.moshi import HierarchicalGenerator
from minimoshi.moshi.grid import ZERO_TOKEN
from minimoshi.sampling import Sampling
from minimoshi.training.loop import RunFolder, averaged, train
from minimoshi.training.moshi import (
    MoshiTraining,
    collect,
    first_generator,
    latest_words,
    load_result,
    to_remember,
)
from minimoshi.training.moshi_recipe import MoshiRecipe
from minimoshi.training.optim import cycle, trapezoid

CARD, FRAMES = 16, 24


def toy_config() -> MoshiConfig:
    return MoshiConfig(
        helium=HeliumConfig(dim=32, layers=1, heads=2, hidden=64, context=FRAMES, text_card=40),
        depth=DepthConfig(dim=16, layers=1, heads=2, hidden=32, input_dim=32, card=CARD, text_card=40),
        card=CARD,
        mimi=MimiConfig.preset("tiny"),
    )


def echo(rng: random.Random, frames: int) -> Grid:
    """The user says a word by a code; two frames later Moshi says its token and its codes."""
    codes = torch.zeros(17, frames, dtype=torch.int64)
    codes[0] = PAD_ID
    heard, speaking = torch.zeros(frames, dtype=torch.int64), torch.zeros(frames, dtype=torch.bool)
    for at in range(2, frames - 4, 5):
        word = rng.randrange(1, 9)
        codes[9:, at], heard[at] = word, word
        codes[0, at + 2], codes[1:9, at + 2], speaking[at + 2] = 10 + word, word, True
    return Grid(codes, heard, speaking)


def toy(**changes) -> MoshiTraining:
    torch.manual_seed(0)
    recipe = MoshiRecipe.from_dict(dict(steps=60, batch=4, frames=FRAMES, lr=1e-2, warm_up=5) | changes)
    return MoshiTraining(recipe, echo, generator=HierarchicalGenerator(toy_config()))


def test_it_learns_to_hear_to_remember_to_answer_and_to_speak():
    made = toy(remembering=0.5)
    held_out = [collect([echo(random.Random(i), FRAMES) for i in range(8)])]
    before = made.check(held_out)
    for step in range(60):
        made.step(step)
    after = made.check(held_out)
    assert after["words_right_held_out"] > 0.9 and before["words_right_held_out"] < 0.4
    assert after["hearing_held_out"] < before["hearing_held_out"] / 3
    assert after["remembering_held_out"] < before["remembering_held_out"] / 2
    for q in (1, 2, 8):
        assert after[f"codebook_{q}_held_out"] < before[f"codebook_{q}_held_out"] / 2


def test_a_held_out_batch_in_which_nobody_speaks_spoils_no_mean():
    nothing = torch.zeros(FRAMES, dtype=torch.int64)
    made, silent = toy(remembering=0.5), collect([Grid(torch.full((17, FRAMES), PAD_ID), nothing, nothing.bool())])
    spoken = collect([echo(random.Random(1), FRAMES)])
    alone, both, swapped = made.check([spoken]), made.check([spoken, silent]), made.check([silent, spoken])
    assert both == swapped and both.keys() == alone.keys()
    assert both["remembered_right_held_out"] == alone["remembered_right_held_out"]
    assert both["hearing_held_out"] != alone["hearing_held_out"]


def test_the_words_to_remember_are_the_last_ones_so_far():
    heard = torch.tensor([[0, 5, 0, 7, 9, 0, 4], [0, 0, 0, 0, 0, 0, 3]])
    newest, before, third = latest_words(heard, 3).unbind(-1)
    assert newest.tolist() == [[0, 5, 5, 7, 9, 9, 4], [0, 0, 0, 0, 0, 0, 3]]
    assert before.tolist() == [[0, 0, 0, 5, 7, 7, 9], [0, 0, 0, 0, 0, 0, 0]]
    assert third.tolist() == [[0, 0, 0, 0, 5, 5, 7], [0, 0, 0, 0, 0, 0, 0]]
    words = vocabulary()
    name, other = 1 + words.index("anna"), 1 + words.index("seven")
    found = to_remember(torch.tensor([[other, 0, name, other, other, other, 0]]))
    assert found[0, :, 3].tolist() == [0, 0, name, name, name, name, name]
    assert found[0, -1].tolist() == [other, other, other, name]


def test_its_losses_are_those_of_the_generators_own_forward():
    """With everything shown, the text loss is the cross-entropy of `generator(codes)`, weighted against PAD."""
    made = toy()
    batch = collect([echo(random.Random(i), FRAMES) for i in range(3)])
    out = made.generator(batch.codes)
    weights = torch.ones(40)
    weights[[0, PAD_ID]] = made.recipe.pad_weight
    text = torch.nn.functional.cross_entropy(out.text_logits[:, 0].flatten(0, 1), batch.codes[:, 0].flatten(), weights)
    assert float(made.losses(batch, None)["text"]) == pytest.approx(text.item(), rel=1e-4)
    speaking = batch.speaking
    semantic = torch.nn.functional.cross_entropy(out.audio_logits[:, 0][speaking], batch.codes[:, 1][speaking])
    near = speaking | torch.nn.functional.pad(speaking, (1, 0))[:, :-1]
    all_near = torch.nn.functional.cross_entropy(out.audio_logits[:, 0][near], batch.codes[:, 1][near])
    found = float(made.losses(batch, None)["codebook_1"])
    assert found == pytest.approx(all_near.item(), rel=1e-4) and semantic.item() != pytest.approx(found, rel=1e-3)


def test_hidden_frames_are_hidden_from_the_input_alone():
    made = toy(own_drop=1.0, user_noise=0.0, user_drop=0.0)
    codes = collect([echo(random.Random(0), FRAMES)]).codes
    shown = made._disturbed(codes, torch.Generator().manual_seed(0))
    assert (shown[:, 1:9] == ZERO_TOKEN).all()
    assert torch.equal(shown[:, 0], codes[:, 0]) and torch.equal(shown[:, 9:], codes[:, 9:])
    noisy = toy(own_drop=0.0, own_hide=0.0, user_noise=0.5)._disturbed(codes, torch.Generator().manual_seed(0))
    changed = (noisy[:, 9:] != codes[:, 9:]).float().mean()
    assert torch.equal(noisy[:, :9], codes[:, :9]) and 0.3 < changed < 0.6
    deaf = dict(own_drop=0.0, own_hide=0.0, user_noise=0.0, user_drop=0.0)
    unread = toy(**deaf, text_drop=0.5)._disturbed(codes, torch.Generator().manual_seed(0))
    shallow = toy(**deaf, user_shallow=1.0)._disturbed(codes.repeat(20, 1, 1), torch.Generator().manual_seed(0))
    depths = {int((row != ZERO_TOKEN).all(1).sum()) for row in shallow[:, 9:]}
    assert depths == set(range(1, 8)) and torch.equal(shallow[:, :10], codes.repeat(20, 1, 1)[:, :10])
    assert torch.equal(unread[:, 1:], codes[:, 1:]) and 0.2 < (unread[:, 0] == ZERO_TOKEN).float().mean() < 0.8


def test_a_training_may_begin_with_everything_shown():
    eased = toy(own_drop=1.0, user_noise=0.5, user_drop=0.5, text_drop=0.5, user_shallow=1.0, ease=9, remembering=0.5)
    codes = collect([echo(random.Random(0), FRAMES)]).codes
    eased.hard = 0.0
    assert torch.equal(eased._disturbed(codes, torch.Generator().manual_seed(0)), codes)
    asked = []
    eased.losses = lambda batch, generator: asked.append(eased.hard) or {"total": eased.hearing.weight.sum()}
    for step in range(12):
        eased.step(step)
    assert asked[0] == pytest.approx(0.1) and asked[4] == pytest.approx(0.5) and asked[9:] == [1.0, 1.0, 1.0]


def test_text_can_be_moved_and_masked():
    codes = collect([echo(random.Random(i), FRAMES) for i in range(20)]).codes
    moved = toy(text_delay=0.4)._moved_text(codes, torch.Generator().manual_seed(0))
    shifts = set()
    for before, after in zip(codes[:, 0], moved[:, 0], strict=True):
        first = (before != PAD_ID).nonzero()[1]
        word = before[first]
        shifts |= {int(i - first) for i in (after == word).nonzero() if abs(i - first) <= 5}
    assert {-5, 5} <= shifts or len(shifts) > 5
    assert torch.equal(moved[:, 1:], codes[:, 1:])
    masked = toy(text_mask=1.0)._moved_text(codes, torch.Generator().manual_seed(0))
    assert (masked[:, 0] == ZERO_TOKEN).all()


def test_without_a_monologue_no_text_is_shown_or_asked_for():
    batch = collect([echo(random.Random(i), FRAMES) for i in range(2)])
    mute = replace(batch, codes=torch.cat([torch.full_like(batch.codes[:, :1], PAD_ID), batch.codes[:, 1:]], dim=1))
    without, plain = toy(monologue=False).losses(batch, None), toy().losses(mute, None)
    assert without == plain and without["text"] != toy().losses(batch, None)["text"]
    assert (batch.codes[:, 0] != PAD_ID).any()  # the batch itself is left as it is


def test_the_rate_rises_stays_and_falls_to_nothing():
    rates = [trapezoid(step, 100, 10, 0.3) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9:71] == [1.0] * 62
    assert rates[85] == pytest.approx(0.5) and 0 < rates[-1] < 0.05


def test_steps_are_divided_into_cycles():
    assert [cycle(step, 7, 3) for step in range(7)] == [(0, 3), (1, 3), (2, 3), (0, 3), (1, 3), (2, 3), (0, 1)]
    assert cycle(5, 9, 1) == (5, 9)
    with pytest.raises(ValueError, match="2 steps have no 3 cycles"):
        toy(steps=2, cycles=3)


def test_the_result_is_the_mean_of_the_cycles_ends(tmp_path):
    made, ends = toy(steps=8, cycles=2, warm_up=1, decay=0.5), []
    for step in range(8):
        made.step(step)
        rate = made.optimisers.parts["adam"][0].param_groups[0]["lr"]
        if step in (3, 7):
            assert rate <= made.recipe.lr / 2
            ends.append({name: tensor.clone() for name, tensor in made.average.module.state_dict().items()})
        found = made.result().state_dict()
        if step < 3:
            assert all(torch.equal(found[name], tensor) for name, tensor in made.average.module.state_dict().items())
    assert all(torch.allclose(found[name], (a + ends[1][name]) / 2, atol=1e-6) for name, a in ends[0].items())
    assert any(not torch.equal(a, ends[1][name]) for name, a in ends[0].items())
    folder = RunFolder(tmp_path)
    folder.save("moshi", {"parts": {name: part.state_dict() for name, part in made.parts().items()}})
    kept = averaged(folder.load("moshi")["parts"], "ends")
    assert kept.keys() == found.keys() and all(torch.equal(kept[name], tensor) for name, tensor in found.items())


@pytest.mark.parametrize("muon_lr", [0.0, 0.02])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, muon_lr):
    def go(folder: str, *ends: int) -> dict:
        for end in ends:
            made = toy(steps=12, cycles=2, muon_lr=muon_lr)

            def step(number: int, made=made, end=end) -> dict[str, float]:
                if number == end:
                    raise KeyboardInterrupt
                return made.step(number)

            try:
                train(RunFolder(tmp_path / folder), "m", 12, step, made.parts(), check_every=4, save_every=4)
            except KeyboardInterrupt:
                continue
        return RunFolder(tmp_path / folder).load("m")["parts"]

    whole, cut = go("whole", 99), go("cut", 5, 9, 99)
    for name in whole["generator"]:
        assert torch.equal(whole["generator"][name], cut["generator"][name]), name
        assert torch.equal(whole["average"][f"module.{name}"], cut["average"][f"module.{name}"])
        assert torch.equal(whole["ends"][f"module.{name}"], cut["ends"][f"module.{name}"])
    assert int(whole["ends"]["n_averaged"]) == 2


def test_muon_moves_the_transformers_matrices_and_nothing_else():
    made = toy(muon_lr=0.02, remembering=0.5)
    model, parts = made.generator, made.optimisers.parts
    ids = {name: [id(p) for g in part.param_groups for p in g["params"]] for name, (part, _) in parts.items()}
    wanted = {id(p) for name, p in model.named_parameters() if "transformer.layers" in name and p.dim() > 1}
    assert set(ids["muon"]) == wanted and not wanted & set(ids["adam"])
    heads = [*made.hearing.parameters(), *made.remembering.parameters()]
    assert sorted(ids["adam"] + ids["muon"]) == sorted(id(p) for p in [*model.parameters(), *heads])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    made.step(0)
    depth = model.audio_model.transformer.layers[0].attention.out_proj.weight  # a matrix for each codebook
    change = depth.detach() - before["audio_model.transformer.layers.0.attention.out_proj.weight"]
    largest = torch.linalg.matrix_norm(change, 2)
    assert largest.shape == depth.shape[:1] and (largest > 0).all()
    assert float(largest.max() / largest.min()) < 2  # each moves by as much, however small its gradient
    assert set(toy().optimisers.parts) == {"adam"}


def test_text_alone_is_learnt_with_an_optimiser_of_its_own():
    torch.manual_seed(0)
    recipe = MoshiRecipe.from_dict(dict(steps=40, batch=2, frames=FRAMES, text_only=1.0, lr=1e-2, warm_up=2))
    generator = HierarchicalGenerator(toy_config())
    made = MoshiTraining(recipe, echo, generator=generator, lines=lambda rng: [5, 6, 7, 8, 9][: rng.randint(3, 5)])
    first = made.step(0)["lines"]
    last = [made.step(n)["lines"] for n in range(1, 40)][-1]
    used, own = made.optimisers.parts["adam"][0], made.text_optimisers.parts["adam"][0]
    assert last < first / 2 and not used.state and own.state


def test_a_stage_goes_on_from_what_another_made(tmp_path):
    made = toy()
    made.step(0)
    train(RunFolder(tmp_path), "m", 1, made.step, made.parts())
    with pytest.raises(RuntimeError):  # the preset is larger than the toy
        load_result(RunFolder(tmp_path), "m", MoshiRecipe())
    made.result().save_pretrained(tmp_path / "generator")
    with pytest.raises(ValueError, match="not a generator of the preset 'tiny'"):
        first_generator(MoshiRecipe(start=str(tmp_path / "generator")))


def test_a_result_draws_as_its_recipe_says(tmp_path):
    made = toy()
    assert made.result().sampling == Sampling()
    made.recipe = made.recipe.replace(temperature=0.3, text_temperature=0.0, pad_bonus=-0.2)
    made.result().save_pretrained(tmp_path)
    wanted = Sampling(temperature=0.3, text_temperature=0.0, pad_bonus=-0.2)
    assert HierarchicalGenerator.from_pretrained(tmp_path).sampling == wanted
    assert MoshiRecipe.read("tiny").sampling == HierarchicalGenerator.from_pretrained("tiny").sampling == wanted
    with pytest.raises(ValueError, match="temperatures must be 0"):
        MoshiRecipe(temperature=-1.0)


def test_bad_recipes_are_refused():
    with pytest.raises(ValueError, match="own_drop is a share"):
        MoshiRecipe(own_drop=2.0)
    with pytest.raises(ValueError, match="there is no recipe 'large'"):
        MoshiRecipe.read("large")
    with pytest.raises(ValueError, match="did you mean 'semantic_weight'"):
        MoshiRecipe.read("tiny", ["semantic_weigth=3"])
