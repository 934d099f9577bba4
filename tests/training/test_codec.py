"""End-to-end training on a toy: it learns, every switch does something, and a kill costs nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from minimoshi.mimi import MimiAudioCodec
from minimoshi.training.codec import CodecTraining, load_result, train_codec
from minimoshi.training.init import scaled_init
from minimoshi.training.loop import RunFolder
from minimoshi.training.recipe import CodecRecipe
from tests.speech_toys import CODEC

TOY = dict(
    preset="tiny",
    steps=30,
    batch=2,
    seconds=0.32,
    lr=3e-3,
    betas=[0.8, 0.95],
    mel=1.0,
    adversarial=0.0,
    feature=0.0,
    quantised=1.0,
    fit_frames=0,
    semantic=0.0,
    weight_ema=0.5,
)
CRITIC = dict(critic_filters=2, critic_scales=[[256, 64]], critic_seconds=0.1)


def batches(rng: np.random.Generator, spoken: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Gliding tones, each frame labelled by its pitch."""
    start = torch.from_numpy(rng.uniform(0.02, 0.1, (2, 1, 1)).astype(np.float32))
    glide = 1 + torch.arange(4 * 1920) / 8000
    wav = 0.3 * torch.sin(torch.cumsum(start * glide.expand(2, 1, -1), -1))
    return wav, torch.full((2, 4), 3)


def training(**changes) -> CodecTraining:
    torch.manual_seed(0)
    return CodecTraining(CodecRecipe.from_dict({**TOY, **changes}), batches, start=scaled_init(MimiAudioCodec(CODEC)))


HELD_OUT = {"tone": batches(np.random.default_rng(99))[0]}


def test_it_learns_and_its_codec_loads(tmp_path):
    run = training(steps=45, spectral=0.5, waveform=0.1, waveform_below=1000.0)
    before = run.check(HELD_OUT)["tone_held_out"]
    codec = train_codec(RunFolder(tmp_path), "end-to-end", run, HELD_OUT, check_every=15)
    rows = RunFolder(tmp_path).rows("end-to-end")
    assert rows[-1]["tone_held_out"] < 0.75 * before
    assert rows[-1]["mel"] < 0.85 * rows[0]["mel"]
    assert {"mel", "spectral", "waveform", "commitment", "perplexity_1", "perplexity_3"} <= set(rows[-1])
    codec.save_pretrained(tmp_path / "mimi")
    loaded = MimiAudioCodec.from_pretrained(tmp_path / "mimi")
    wav = HELD_OUT["tone"]
    assert torch.equal(loaded.encode(wav), codec.encode(wav))
    again = load_result(RunFolder(tmp_path), "end-to-end", CODEC)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), codec.state_dict().values(), strict=True))
    assert len(list((tmp_path / "samples" / "end-to-end").glob("tone_*.flac"))) == 3


@pytest.mark.parametrize("death", [3, 8, 11])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, death):
    switches = dict(
        steps=12,
        adversarial=1.0,
        feature=1.0,
        critic_every=2,
        critic_from=2,
        level_dropout=0.5,
        quantised=0.5,
        quantise_from=4,
        fit_frames=60,
        semantic=1.0,
        distillation="phones",
        muon_lr=0.01,
        **CRITIC,
    )
    whole = training(**switches)
    train_codec(RunFolder(tmp_path / "whole"), "run", whole, HELD_OUT, check_every=6, save_every=4)

    broken = training(**switches)
    step = broken.step

    def dies(number):
        if number == death:
            raise KeyboardInterrupt
        return step(number)

    broken.step = dies
    with pytest.raises(KeyboardInterrupt):
        train_codec(RunFolder(tmp_path / "broken"), "run", broken, HELD_OUT, check_every=6, save_every=4)
    again = training(**switches)
    train_codec(RunFolder(tmp_path / "broken"), "run", again, HELD_OUT, check_every=6, save_every=4)
    for name, part in whole.parts().items():
        if isinstance(part, torch.nn.Module):
            for key, tensor in part.state_dict().items():
                assert torch.equal(tensor, again.parts()[name].state_dict()[key]), f"{name}: {key}"
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder(tmp_path / name).rows("run")]
        for name in ("whole", "broken")
    ]
    assert rows[0] == rows[1]


def test_a_process_that_is_shot_goes_on_from_its_checkpoint(tmp_path):
    """SIGKILL, whenever it comes: the folder still holds a checkpoint, and the run ends as another does."""
    script = (
        "import sys; from tests.training.test_codec import *\n"
        "train_codec(RunFolder(sys.argv[1]), 'run', training(steps=14), HELD_OUT, check_every=7, save_every=1)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "shot")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "shot" / "run.pt").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert RunFolder(tmp_path / "shot").load("run")["step"] < 14
    results = []
    for name in ("shot", "whole"):
        torch.set_num_threads(1)
        results.append(
            train_codec(RunFolder(tmp_path / name), "run", training(steps=14), HELD_OUT, check_every=7, save_every=7)
        )
    for (name, a), b in zip(results[0].state_dict().items(), results[1].state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_with_the_encoder_frozen_the_tokens_stay():
    run = training(train_encoder=False)
    wav = HELD_OUT["tone"]
    before, sound = run.result().encode(wav), run.result().decode(run.result().encode(wav))
    for number in range(5):
        losses = run.step(number)
    assert torch.equal(run.result().encode(wav), before)
    assert not torch.allclose(run.result().decode(before), sound)
    assert "commitment" not in losses


def test_nothing_is_quantised_until_it_is_time():
    run = training(quantise_from=3, fit_frames=40)
    centroids = run.codec.quantizer.acoustic.centroids.clone()
    assert "commitment" not in run.step(0)
    run.learner.quantizer.acoustic.set_centroids(0, centroids[0] * 0 + 7)  # would be heard if it were used
    run.step(3)
    assert float((run.codec.quantizer.acoustic.centroids[0] - 7).abs().min()) > 1


def test_the_critic_learns_and_the_codec_listens():
    run = training(mel=0.0, adversarial=1.0, feature=1.0, critic_lr=3e-3, **CRITIC)
    frozen = {name: p.clone() for name, p in run.codec.named_parameters()}
    losses = [run.step(number) for number in range(12)]
    assert {"critic", "adversarial", "feature", "commitment"} == set(losses[0])
    assert losses[-1]["critic"] < losses[0]["critic"]
    moved = [name for name, p in run.codec.named_parameters() if not torch.equal(p, frozen[name])]
    assert any(name.startswith("encoder.") for name in moved) and any(name.startswith("decoder.") for name in moved)


def test_distillation_makes_the_first_level_name_the_phone():
    run = training(semantic=5.0, distillation="phones", steps=30, lr=2e-2, warm_up=1)
    losses = [run.step(number)["semantic"] for number in range(30)]
    assert losses[-1] < 0.3 * losses[0]


def test_half_the_bits_learn_too():
    """bfloat16 is for GPUs, but its arithmetic runs anywhere: the codebooks keep single precision all the same."""
    run = training(precision="bfloat16", semantic=1.0, distillation="phones", adversarial=1.0, feature=1.0, **CRITIC)
    losses = [run.step(number) for number in range(12)]
    assert losses[-1]["mel"] < losses[0]["mel"]
    assert run.codec.quantizer.acoustic.embedding_sum.dtype == torch.float32


def test_without_the_balancer_weights_are_factors():
    light, heavy = (training(balance=False, mel=weight, clip=1e9) for weight in (1.0, 2.0))
    for run in (light, heavy):
        run.optimisers.step = lambda step: None
        run.step(0)
    a, b = (run.codec.decoder[0].weight.grad for run in (light, heavy))
    torch.testing.assert_close(2 * a, b, rtol=1e-4, atol=1e-7)


def test_decay_is_on_the_transformers_only():
    run = training(weight_decay=0.3)
    decayed = {
        id(p)
        for group in run.optimisers.parts["adam"][0].param_groups
        if group["weight_decay"] == 0.3
        for p in group["params"]
    }
    transformers = [p for n, p in run.codec.named_parameters() if "transformer" in n and p.dim() > 1]
    assert decayed == {id(p) for p in transformers} and transformers


def test_the_average_trails_the_weights():
    run = training(weight_ema=0.9)
    for number in range(3):
        run.step(number)
    raw, averaged = run.codec.decoder[0].weight, run.result().decoder[0].weight
    assert not torch.equal(raw, averaged)
    plain = training(weight_ema=0.0)
    plain.step(0)
    assert torch.equal(plain.codec.decoder[0].weight, plain.result().decoder[0].weight)


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(mel=0.0), "nothing to learn from"),
        (dict(precision="float16"), "float32 or bfloat16"),
        (dict(distillation="wavlm"), "cosine, regression or phones"),
        (dict(melody=1.0), "did you mean 'mel'"),
        (dict(quantised=1.5), "shares from 0 to 1"),
        (dict(seconds=0.01), "at least one frame"),
    ],
)
def test_a_bad_recipe_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        CodecRecipe.from_dict({**TOY, **changes})


def test_the_papers_recipe_is_the_papers():
    recipe = CodecRecipe.named("paper")
    assert (recipe.lr, tuple(recipe.betas), recipe.weight_decay, recipe.weight_ema) == (8e-4, (0.5, 0.9), 5e-2, 0.99)
    assert (recipe.batch, recipe.seconds, recipe.steps, recipe.quantised) == (128, 12.0, 4_000_000, 0.5)
    assert (recipe.mel, recipe.waveform, recipe.adversarial, recipe.feature) == (0.0, 0.0, 4.0, 4.0)
    again = CodecRecipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    with pytest.raises(ValueError, match="choose one of .*paper"):
        CodecRecipe.named("papers")


def test_a_start_of_another_size_is_refused(tmp_path):
    MimiAudioCodec(CODEC).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="not a codec of the preset 'tiny'"):
        CodecTraining(CodecRecipe.from_dict({**TOY, "start": str(tmp_path)}), batches)
