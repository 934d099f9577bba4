"""The decoupled recipe, whole, on a toy: both halves learn, a kill costs nothing, the joined codec is one."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from minimoshi.data.corpus import Part, build_part
from minimoshi.mimi import MimiAudioCodec
from minimoshi.training.decoupled import DecoupledRecipe, DecoupledRun, projected, resynthesise
from minimoshi.training.init import scaled_init
from minimoshi.training.loop import RunFolder
from minimoshi.training.losses import MelLoss
from minimoshi.training.speech import batches, corpus_crops, held_out
from tests.speech_toys import CODEC, toy_corpus

SAMPLES = 6 * 1920


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    with pytest.MonkeyPatch.context() as patch:
        toy_corpus(folder / "corpus", patch)
        build_part(folder / "heldout", Part("heart", "flite:slt", 0.2), seed=1000, held_out=True)
    return folder


def toy_run(corpus, folder, steps: int = 40, exact: int = 0) -> DecoupledRun:
    recipe = DecoupledRecipe(
        semantic="phones",
        phone_steps=steps,
        encoder_steps=steps,
        exact_steps=exact,
        decoder_steps=steps,
        teacher_frames=300,
        frames=6,
    )
    source = batches(corpus_crops(corpus / "corpus"), 2, SAMPLES)
    return DecoupledRun(RunFolder(folder), recipe, source, held_out(corpus / "heldout", SAMPLES, 4), CODEC)


@torch.no_grad()
def losses(run: DecoupledRun, codec: MimiAudioCodec) -> tuple[float, float]:
    """Held out: of the encoder, against the teachers; of the decoder, from the teachers' tokens."""
    sound = run.held_out["heart"]
    wanted = run.teacher()(sound)
    own, group = projected(codec, sound), codec.quantizer.semantic
    semantic, acoustic = (float((one - target).square().mean()) for one, target in zip(own, wanted, strict=True))
    distances = torch.cdist(own[0], group.centroids[0]).square() / 2
    naming = float(cross_entropy(-distances.flatten(0, 1), group.quantize(wanted[0]).flatten()))
    loss = run.recipe.acoustic_weight * acoustic + 0.4 * semantic + 0.12 * naming
    return loss, float(MelLoss()(resynthesise(codec, *wanted)[:, 0], sound[:, 0]))


def test_both_halves_learn_and_are_joined(corpus, tmp_path):
    run = toy_run(corpus, tmp_path)
    run.make_teachers()
    run.train_encoder()
    run.train_decoder()
    untrained, joined = losses(run, run.new_codec()), run.joined()
    for stage, index, share in (("encoder", 0, 0.97), ("decoder", 1, 0.75)):
        codec = run.new_codec()
        codec.load_state_dict(run.folder.load(stage)["parts"]["codec"])
        assert losses(run, codec)[index] < share * untrained[index], stage
        assert losses(run, joined)[index] == pytest.approx(losses(run, codec)[index], rel=1e-4)
        last = run.folder.rows(stage)[-1]
        assert last["step"] == 40 and last["heart_held_out"] == pytest.approx(losses(run, codec)[index], rel=1e-3)
    left = [row["left_over"] for row in run.folder.rows("teachers") if "left_over" in row]
    assert len(left) == 2 and 1 > left[0] > left[1]


def test_the_acoustic_level_becomes_exact_and_the_semantic_one_stays(corpus, tmp_path):
    run = toy_run(corpus, tmp_path, steps=12, exact=60)
    run.make_teachers()
    run.train_encoder()
    run.train_decoder()
    before, after = run.new_codec(), run.joined()
    before.load_state_dict(run.folder.load("encoder")["parts"]["codec"])
    sound = run.held_out["heart"]
    with torch.no_grad():
        wanted = run.teacher().acoustic(sound)
        (meant, rough), (means, exact) = projected(before, sound), projected(after, sound)
    assert (exact - wanted).square().mean() < 0.985 * (rough - wanted).square().mean()
    assert (means - meant).square().mean() < 0.5 * meant.square().mean()
    assert run.folder.rows("exact")[-1]["step"] == 60


def test_the_teacher_hears_what_was_said(corpus, tmp_path):
    run = toy_run(corpus, tmp_path, steps=2)
    run.make_teachers()
    crops, numbers = batches(corpus_crops(corpus / "corpus"), 2, SAMPLES), []

    def drawn(scale):
        def draw(rng: np.random.Generator, spoken: bool):
            numbers.append((scale, tuple(rng.bit_generator.seed_seq.entropy)))
            return tuple(scale * part for part in crops(rng, spoken))

        return draw

    run.batches, run.said = drawn(1), drawn(0)
    run.train_encoder()
    assert [n for scale, n in numbers if scale] == [n for scale, n in numbers if not scale] and len(numbers) == 4
    teacher, codec = run.teacher(), run.new_codec()
    with torch.no_grad():
        wav, _ = crops(np.random.default_rng([0, 0]), False)
        silence = torch.zeros_like(wav)
        own = projected(codec, wav)
        wanted = teacher.semantic(silence), teacher.acoustic(wav)
    first = [float((one - target).square().mean()) for one, target in zip(own, wanted, strict=True)]
    row = run.folder.rows("encoder")[0]
    assert (row["semantic"], row["acoustic"]) == pytest.approx(first, rel=0.05)


def test_a_killed_stage_goes_on_and_a_finished_one_is_not_repeated(corpus, tmp_path):
    run = toy_run(corpus, tmp_path / "broken", steps=12)
    run.make_teachers()
    whole = toy_run(corpus, tmp_path / "whole", steps=12)
    whole.folder.save("teachers", run.folder.load("teachers"))
    whole.train_encoder()

    draw, drawn = run.batches, []

    def dies(rng: np.random.Generator, spoken: bool):
        drawn.append(0)
        if len(drawn) == 8:
            raise KeyboardInterrupt
        return draw(rng, spoken)

    run.batches = dies
    with pytest.raises(KeyboardInterrupt):
        run.train_encoder()
    run.batches = draw
    run.train_encoder()
    for name, tensor in whole.folder.load("encoder")["parts"]["codec"].items():
        assert torch.equal(run.folder.load("encoder")["parts"]["codec"][name], tensor), name
    before = run.folder.rows("encoder")
    run.make_teachers()
    run.train_encoder()
    assert run.folder.rows("encoder") == before


@pytest.mark.parametrize("stage, missing", [("train_encoder", "teachers"), ("joined", "teachers")])
def test_a_stage_out_of_order_says_what_comes_first(corpus, tmp_path, stage, missing):
    with pytest.raises(FileNotFoundError, match=f"run the stage '{missing}' first"):
        getattr(toy_run(corpus, tmp_path), stage)()


def test_no_corpus_is_said_plainly(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the stage 'corpus' first"):
        corpus_crops(tmp_path)


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
        all_three = codec.decode(codes)
    torch.testing.assert_close(full, all_three, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full, same, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full[0], fewer[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two_of_three[1], fewer[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(full[1], fewer[1], atol=1e-5)
