"""How codebooks learn: k-means, running averages, dead codes, straight-through, dropout, the un-quantised share."""

import pytest
import torch

from minimoshi.mimi.quantizer import SplitResidualVectorQuantizer
from minimoshi.training.codebooks import CodebookLearner, CodebookOptions, kmeans, nearest, residual_kmeans, usage
from tests.speech_toys import CODEC

EXACT = CodebookOptions(quantised=1.0)


def learner(options: CodebookOptions = EXACT, seed: int = 0) -> CodebookLearner:
    torch.manual_seed(seed)
    return CodebookLearner(SplitResidualVectorQuantizer(CODEC), options)


def latent(frames: int = 50, batch: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, CODEC.dim, frames, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def error(model: CodebookLearner, x: torch.Tensor) -> float:
    """Share of the acoustic projection's energy that all levels together leave over."""
    group = model.quantizer.acoustic
    wanted = group.input_proj(x.transpose(1, 2))
    return float((wanted - group.lookup(group.quantize(wanted))).square().sum() / wanted.square().sum())


def clusters(count: int = 3, each: int = 100, spread: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(count, 4, generator=generator) * 3
    noise = torch.randn(count, each, 4, generator=generator) * spread
    return centres, (centres[:, None] + noise).flatten(0, 1)


def test_kmeans_finds_the_clusters():
    centres, points = clusters()
    runs = [kmeans(points, 3, seed=seed) for seed in range(10)]
    for _, counts in runs:
        assert counts.sum() == len(points) and (counts > 0).all()
    # a bad start may split one cluster and join two others; of ten starts one at least finds them all
    assert min(float(torch.cdist(centres, found).min(1).values.max()) for found, _ in runs) < 0.1


def test_kmeans_needs_enough_points():
    with pytest.raises(ValueError, match="8 centroids need at least as many points, got 3"):
        kmeans(torch.randn(3, 4), 8)


def test_nearest_is_nearest():
    points, centroids = torch.randn(50, 6), torch.randn(9, 6)
    assert torch.equal(nearest(points, centroids), torch.cdist(points, centroids).argmin(1))


def test_every_level_leaves_less():
    points = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    books, usages = residual_kmeans(points, 4, 16)
    assert books.shape == (4, 16, 8) and usages.shape == (4, 16)
    residual, errors = points, [float(points.square().mean())]
    for book in books:
        residual = residual - book[nearest(residual, book)]
        errors.append(float(residual.square().mean()))
    assert all(after < 0.85 * before for before, after in zip(errors, errors[1:], strict=False))


def test_usage_of_an_even_a_half_and_a_dead_codebook():
    even = usage(torch.arange(16), 16)
    assert even.perplexity == pytest.approx(16) and even.entropy == pytest.approx(4) and even.used == 1
    half = usage(torch.arange(16) % 8, 16)
    assert half.perplexity == pytest.approx(8) and half.used == 0.5
    assert usage(torch.zeros(9, dtype=torch.int64), 16).perplexity == pytest.approx(1)
    assert usage(torch.ones(16), 16).perplexity == pytest.approx(16)
    with pytest.raises(ValueError, match="at least one"):
        usage(torch.zeros(0, dtype=torch.int64), 16)


def test_it_gives_what_the_quantiser_gives():
    model, x = learner().eval(), latent()
    found = model(x)
    codes = model.quantizer.encode(x, CODEC.n_codebooks)
    assert torch.equal(found.codes, codes)
    torch.testing.assert_close(found.latent, model.quantizer.decode(codes), atol=1e-5, rtol=1e-4)


def test_evaluation_changes_nothing_and_training_moves_the_centroids():
    model, x = learner(), latent()
    before = model.quantizer.acoustic.centroids.clone()
    model.eval()(x)
    assert torch.equal(model.quantizer.acoustic.centroids, before)
    model.train()(x, generator())
    assert not torch.equal(model.quantizer.acoustic.centroids, before)


def test_running_averages_lower_the_error():
    model, x = learner(CodebookOptions(quantised=1.0, decay=0.9)), latent(frames=200)
    before = error(model, x)
    for step in range(40):
        model(x, generator(step))
    assert error(model, x) < 0.6 * before


def test_one_step_of_the_average_by_hand():
    model, x = learner(CodebookOptions(quantised=1.0, decay=0.75, revive_below=0.0)), latent()
    group = model.quantizer.semantic
    points = group.input_proj(x.transpose(1, 2)).detach().flatten(0, 1)
    index = nearest(points, group.centroids[0])
    code = int(index.mode().values)
    usage_after = 0.75 * group.cluster_usage[0, code] + 0.25 * (index == code).sum()
    sum_after = 0.75 * group.embedding_sum[0, code] + 0.25 * points[index == code].sum(0)
    model(x, generator())
    torch.testing.assert_close(group.cluster_usage[0, code], usage_after)
    torch.testing.assert_close(group.centroids[0, code], sum_after / usage_after)


def test_dead_codes_come_back_to_life():
    """All centroids but one far away: without revival one code does everything for ever."""

    def perplexity(revive_below: float) -> float:
        model, x = learner(CodebookOptions(quantised=1.0, decay=0.8, revive_below=revive_below)), latent(frames=100)
        far = torch.full((CODEC.codebook_size, CODEC.codebook_dim), 100.0)
        far[0] = 0
        model.quantizer.semantic.set_centroids(0, far)
        for step in range(40):
            found = model(x, generator(step))
        return usage(found.codes[:, 0], CODEC.codebook_size).perplexity

    assert perplexity(0.0) == pytest.approx(1)
    assert perplexity(0.1) > 0.5 * CODEC.codebook_size


def test_revived_codes_are_counted():
    model = learner(CodebookOptions(quantised=1.0, revive_every=1, revive_below=1.0))
    assert int(model.revived) == 0
    model(latent(), generator())
    assert int(model.revived) > 0


def test_the_gradient_passes_as_if_nothing_was_rounded():
    model, x = learner(), latent().requires_grad_()
    weights = torch.randn(x.shape, generator=generator(5))
    (model(x, generator()).latent * weights).sum().backward()
    straight = latent().requires_grad_()
    both = (model.quantizer.semantic, model.quantizer.acoustic)
    through = sum(group.output_proj(group.input_proj(straight.transpose(1, 2))) for group in both)
    (through.transpose(1, 2) * weights).sum().backward()
    torch.testing.assert_close(x.grad, straight.grad, atol=1e-4, rtol=1e-4)


def test_commitment_pulls_the_encoder_to_its_centroids_and_does_not_grow_with_the_latent():
    model = learner().eval()
    x = latent().requires_grad_()
    model(x).commitment.backward()
    moved = model((x - 2000 * x.grad).detach())
    assert float(moved.commitment.detach()) < float(model(latent()).commitment.detach())
    sizes = []
    for scale in (1.0, 100.0):
        fitted = learner()
        fitted.fit((latent(frames=200) * scale).transpose(1, 2).flatten(0, 1))
        sizes.append(float(fitted.eval()(latent(frames=200) * scale).commitment.detach()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_a_share_of_sequences_is_not_quantised():
    model, x = learner(CodebookOptions(quantised=0.5)), latent(batch=64)
    groups = (model.quantizer.semantic, model.quantizer.acoustic)
    exact = sum(g.output_proj(g.input_proj(x.transpose(1, 2))) for g in groups).transpose(1, 2)
    found = model(x, generator())
    untouched = (found.latent - exact).abs().amax((1, 2)) < 1e-5
    assert 5 <= int(untouched.sum()) <= 30  # both groups must be exact: a quarter of 64
    assert torch.allclose(model(x, generator(), quantised=0.0).latent, exact, atol=1e-5)


def test_level_dropout_leaves_the_first_levels():
    model, x = learner(CodebookOptions(quantised=1.0, level_dropout=1.0)), latent(batch=64)
    before = {name: t.clone() for name, t in model.quantizer.state_dict().items()}
    heard = model(x, generator()).latent
    model.quantizer.load_state_dict(before)
    quantizer = model.quantizer
    codes = quantizer.encode(x, CODEC.n_codebooks)
    few, all_levels = quantizer.decode(codes[:, :2]), quantizer.decode(codes)
    cut = (heard - few).abs().amax((1, 2)) < 1e-4
    whole = (heard - all_levels).abs().amax((1, 2)) < 1e-4
    assert int(cut.sum()) + int(whole.sum()) == 64 and 15 < int(cut.sum()) < 50


def test_the_same_generator_gives_the_same_learning():
    results = []
    for _ in range(2):
        model = learner(CodebookOptions(level_dropout=0.5, revive_every=1, revive_below=1.0))
        results.append([model(latent(seed=s), generator(s)).latent for s in range(3)][-1])
    assert torch.equal(*results)


@pytest.mark.parametrize(
    "wrong, said", [(dict(decay=1.0), "decay"), (dict(quantised=2.0), "shares"), (dict(revive_every=0), "revive_every")]
)
def test_bad_options_are_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        CodebookOptions(**wrong)
