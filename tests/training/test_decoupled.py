"""The decoupled recipe, whole, on a toy: it learns, can be killed and started again, and its codec ships."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minimoshi.data.corpus import Part, build_part
from minimoshi.mimi import MimiAudioCodec
from minimoshi.training import decoupled
from minimoshi.training.decoupled import Recipe, Run, resynthesise
from minimoshi.training.init import scaled_init
from tests.speech_toys import CODEC, toy_corpus

RECIPE = Recipe(steps=40, teacher_frames=300, batch=2, frames=6, checkpoint_every=5.0)


def toy_run(folder, monkeypatch, **changes) -> Run:
    toy_corpus(folder / "corpus", monkeypatch)
    build_part(folder / "heldout", Part("heart", "flite:slt", 0.2), seed=1000, held_out=True)
    run = Run(folder, replace(RECIPE, **changes))
    run.config = CODEC
    return run


def logged(run: Run, stage: str) -> list[dict]:
    return [json.loads(line) for line in (run.folder / f"{stage}.log").read_text().splitlines()]


@torch.no_grad()
def held_out_losses(run: Run, codec: MimiAudioCodec) -> tuple[float, float]:
    """Of the encoder, against the teachers; of the decoder, from the teachers' tokens."""
    sound = decoupled._validation(run)["heart"]
    wanted = run.teacher()(sound)
    semantic, acoustic = (
        float((own - target).square().mean())
        for own, target in zip(decoupled.projected(codec, sound), wanted, strict=True)
    )
    made = resynthesise(codec, *wanted)
    return acoustic + 0.5 * semantic, float(decoupled.MelLoss()(made[:, 0], sound[:, 0]))


def test_all_stages_teach_a_codec_that_loads(tmp_path, monkeypatch):
    run = toy_run(tmp_path, monkeypatch)
    decoupled.make_teachers(run)
    decoupled.train_encoder(run)
    decoupled.train_decoder(run)
    decoupled.finetune_decoder(run)
    untrained = held_out_losses(run, decoupled.new_codec(run))
    for stage, index, share in (("encoder", 0, 0.97), ("decoder", 1, 0.7)):
        codec = decoupled.new_codec(run)
        codec.load_state_dict(run.load(stage)["codec"])
        loss = held_out_losses(run, codec)[index]
        assert loss < share * untrained[index], stage
        last = logged(run, stage)[-1]
        assert last["step"] == 40
        assert last["heart_held_out"] == pytest.approx(loss, rel=1e-3)

    decoupled.export(run, tmp_path / "mimi")
    shipped = MimiAudioCodec.from_pretrained(tmp_path / "mimi")
    trained = run.load("finetune")["codec"]
    assert shipped.encoder[0].weight.dtype == torch.float32
    for name, tensor in shipped.state_dict().items():
        torch.testing.assert_close(tensor, trained[name], atol=2e-3, rtol=2e-3)
    wav = run.batches(run.crops("heldout", augment=False), 1)(np.random.default_rng(0))[0]
    codes = shipped.encode(wav)
    assert codes.shape == (1, 3, 6)
    exact = decoupled.new_codec(run)
    exact.load_state_dict(trained)
    sound = exact.eval().decode(codes)
    assert float((shipped.decode(codes) - sound).abs().max()) < 0.02 * float(sound.abs().max())


def test_fine_tuning_leaves_the_encoder_alone(tmp_path, monkeypatch):
    run = toy_run(tmp_path, monkeypatch, steps=5)
    decoupled.make_teachers(run)
    decoupled.train_encoder(run)
    decoupled.train_decoder(run)
    decoupled.finetune_decoder(run)
    encoder, decoder, tuned = (run.load(stage)["codec"] for stage in ("encoder", "decoder", "finetune"))
    for name in tuned:
        if name.startswith(("encoder", "downsample")) or "input_proj" in name or "cluster" in name:
            assert torch.equal(tuned[name], encoder[name]), name
    assert not torch.equal(tuned["decoder.0.weight"], decoder["decoder.0.weight"])
    assert not torch.equal(tuned["decoder.0.weight"], encoder["decoder.0.weight"])


def test_a_killed_stage_goes_on(tmp_path, monkeypatch):
    run = toy_run(tmp_path, monkeypatch, steps=12, checkpoint_every=0.0)
    decoupled.make_teachers(run)
    save = run.save

    def save_then_die(name, content):
        save(name, content)
        if content["step"] == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "save", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        decoupled.train_encoder(run)
    monkeypatch.setattr(run, "save", save)
    at_death = run.load("encoder")
    decoupled.train_encoder(run)
    after = run.load("encoder")
    assert (at_death["step"], after["step"]) == (7, 12)
    assert after["elapsed"] > at_death["elapsed"]
    assert [row["step"] for row in logged(run, "encoder")] == list(range(1, 13))

    whole = toy_run(tmp_path / "whole", monkeypatch, steps=12)
    whole.save("teachers", run.load("teachers"))
    decoupled.train_encoder(whole)
    for name, tensor in whole.load("encoder")["codec"].items():
        torch.testing.assert_close(after["codec"][name], tensor, msg=name)


def test_the_clock_ends_a_stage(tmp_path, monkeypatch):
    run = toy_run(tmp_path, monkeypatch, steps=5)
    decoupled.make_teachers(run)
    ticks = itertools.count()
    monkeypatch.setattr(decoupled, "time", SimpleNamespace(monotonic=lambda: 0.1 * next(ticks)))
    run.recipe = replace(run.recipe, steps=None, encoder_seconds=0.95, checkpoint_every=60.0)
    decoupled.train_encoder(run)
    assert run.load("encoder")["step"] == 10
    assert [row["step"] for row in logged(run, "encoder")] == [10]


def test_a_finished_stage_is_not_repeated(tmp_path, monkeypatch):
    run = toy_run(tmp_path, monkeypatch, steps=5)
    decoupled.make_teachers(run)
    decoupled.train_encoder(run)
    before = len(logged(run, "encoder"))
    decoupled.train_encoder(run)
    assert len(logged(run, "encoder")) == before


@pytest.mark.parametrize("stage", ["make_teachers", "train_encoder", "finetune_decoder"])
def test_a_stage_out_of_order_says_what_comes_first(tmp_path, stage):
    run = Run(tmp_path, RECIPE)
    with pytest.raises(FileNotFoundError, match="run the stage"):
        getattr(decoupled, stage)(run)


def test_sixty_steps_on_one_batch_lower_the_loss():
    torch.manual_seed(0)
    codec = scaled_init(MimiAudioCodec(CODEC))
    wav = torch.sin(torch.arange(4 * 1920) * 0.05)[None, None] * 0.2
    optimizer = torch.optim.Adam(codec.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = decoupled.MelLoss()(codec.from_latent(codec.to_latent(wav))[:, 0], wav[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_the_sound_gets_through_a_fresh_encoder():
    """With torch's own initialisation the latent hardly depends on the sound; with ours it does."""
    torch.manual_seed(0)
    wav = torch.randn(2, 1, 8 * 1920) * 0.1

    def spread(codec: MimiAudioCodec) -> float:
        with torch.no_grad():
            latent = codec.to_latent(wav)
        return float((latent - latent.mean((0, 2), keepdim=True)).std())

    plain = spread(MimiAudioCodec(CODEC))
    scaled = spread(scaled_init(MimiAudioCodec(CODEC)))
    assert scaled > 0.2 and scaled > 5 * plain


def test_dropped_levels_are_not_heard():
    torch.manual_seed(0)
    codec = scaled_init(MimiAudioCodec(CODEC)).eval()
    semantic, acoustic = torch.randn(2, 2, 5, CODEC.codebook_dim)
    with torch.no_grad():
        full = resynthesise(codec, semantic, acoustic)
        same = resynthesise(codec, semantic, acoustic, torch.tensor([2, 2]))
        fewer = resynthesise(codec, semantic, acoustic, torch.tensor([2, 1]))
        quantizer = codec.quantizer
        codes = torch.cat([quantizer.semantic.quantize(semantic), quantizer.acoustic.quantize(acoustic)], 1)
        two_of_three = codec.decode(codes[:, :2])
    torch.testing.assert_close(full, same, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full[0], fewer[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two_of_three[1], fewer[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(full[1], fewer[1], atol=1e-5)
