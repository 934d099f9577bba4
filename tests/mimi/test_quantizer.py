"""Residual vector quantisation against brute force, and what splitting it means."""

import pytest
import torch

from minimoshi.mimi import RVQ, ResidualVectorQuantizer, SplitResidualVectorQuantizer
from tests.helpers import MIMI, assert_same


def quantizer(levels: int = 3) -> ResidualVectorQuantizer:
    return ResidualVectorQuantizer(dim=6, n_quantizers=levels, codebook_size=16, codebook_dim=4).requires_grad_(False)


def k_means(points: torch.Tensor, centroids: int, rounds: int = 10) -> torch.Tensor:
    means = points[:centroids].clone()
    for _ in range(rounds):
        owner = torch.cdist(points, means).argmin(-1)
        for c in owner.unique():
            means[c] = points[owner == c].mean(0)
    return means


def test_each_level_names_the_nearest_centroid_of_what_is_left() -> None:
    rvq, latent = quantizer(), torch.randn(2, 6, 9)
    codes = rvq.encode(latent)
    assert codes.shape == (2, 3, 9) and codes.dtype == torch.int64
    for b in range(2):
        for f in range(9):
            left = rvq.input_proj.weight @ latent[b, :, f]
            for level in range(3):
                distances = [float((left - centroid).square().sum()) for centroid in rvq.centroids[level]]
                assert distances[codes[b, level, f]] == min(distances)
                left = left - rvq.centroids[level, codes[b, level, f]]


def test_lookup_is_the_sum_of_the_named_centroids() -> None:
    rvq, codes = quantizer(), torch.randint(16, (2, 3, 5))
    total = sum(rvq.centroids[level][codes[:, level]] for level in range(3))
    assert_same(rvq.lookup(codes), total)
    assert_same(rvq.lookup(codes[:, :2]), total - rvq.centroids[2][codes[:, 2]])
    assert_same(rvq.decode(codes), torch.einsum("ed,bfd->bef", rvq.output_proj.weight, total))


def test_fewer_levels_are_the_first_of_all() -> None:
    rvq, latent = quantizer(), torch.randn(2, 6, 9)
    assert torch.equal(rvq.encode(latent, 2), rvq.encode(latent)[:, :2])


def test_centroids_come_back_as_their_own_code() -> None:
    """A latent that is a centroid of level 0 is named so, and nothing is left for the other levels to explain."""
    rvq = ResidualVectorQuantizer(dim=4, n_quantizers=1, codebook_size=16, codebook_dim=4).requires_grad_(False)
    rvq.input_proj.weight.copy_(torch.eye(4))
    assert torch.equal(rvq.encode(rvq.centroids[0].T[None]), torch.arange(16)[None, None])


def test_every_level_lowers_what_is_left() -> None:
    """With centroids placed by k-means the residual's energy falls at each level."""
    rvq, latent = quantizer(4), torch.randn(8, 6, 64)
    points = rvq.input_proj(latent.transpose(1, 2)).flatten(0, 1)
    left, energies = points, [points.square().mean()]
    for level in range(4):
        rvq.set_centroids(level, k_means(left, 16))
        left = points - rvq.lookup(rvq.encode(latent, level + 1)).flatten(0, 1)
        energies.append(left.square().mean())
    assert all(after < 0.7 * before for before, after in zip(energies, energies[1:], strict=False)), energies


def test_centroids_are_sums_over_usage() -> None:
    rvq = quantizer()
    rvq.embedding_sum.copy_(torch.randn(3, 16, 4))
    rvq.cluster_usage.copy_(torch.rand(3, 16) + 0.5)
    rvq.cluster_usage[0, 0] = 0  # never used: no division by zero
    rvq.refresh()
    assert_same(rvq.centroids[1], rvq.embedding_sum[1] / rvq.cluster_usage[1][:, None])
    assert_same(rvq.centroids[0, 0] * 1e-5, rvq.embedding_sum[0, 0])


def test_centroids_that_are_set_are_found_whatever_their_usage() -> None:
    rvq, wanted = quantizer(), torch.randn(16, 4)
    before = rvq.centroids.clone()
    rvq.set_centroids(1, wanted, usage=torch.rand(16) * 100)
    assert_same(rvq.centroids[1], wanted)
    assert torch.equal(rvq.centroids[[0, 2]], before[[0, 2]])
    assert_same(rvq.embedding_sum[1], wanted * rvq.cluster_usage[1][:, None], 1e-4)


def test_loading_refreshes_the_centroids() -> None:
    source, target, latent = quantizer(), quantizer(), torch.randn(2, 6, 9)
    assert "centroids" not in source.state_dict()
    assert not torch.equal(source.encode(latent), target.encode(latent))
    target.load_state_dict(source.state_dict())
    assert torch.equal(source.encode(latent), target.encode(latent))


def test_the_levels_are_no_parameters_but_travel_with_the_model() -> None:
    assert sorted(name for name, _ in quantizer().named_parameters()) == ["input_proj.weight", "output_proj.weight"]
    assert sorted(quantizer().state_dict()) == [
        "cluster_usage",
        "embedding_sum",
        "input_proj.weight",
        "output_proj.weight",
    ]
    assert RVQ is ResidualVectorQuantizer


@pytest.fixture
def split() -> SplitResidualVectorQuantizer:
    return SplitResidualVectorQuantizer(MIMI).requires_grad_(False)


def test_split_puts_the_semantic_code_first_and_adds_both_parts(split: SplitResidualVectorQuantizer) -> None:
    latent = torch.randn(2, MIMI.dim, 7)
    codes = split.encode(latent, 4)
    assert torch.equal(codes, torch.cat([split.semantic.encode(latent), split.acoustic.encode(latent)], dim=1))
    assert torch.equal(codes[:, :1], split.encode(latent, 1))
    assert torch.equal(codes[:, :3], split.encode(latent, 3))
    assert_same(split.decode(codes), split.semantic.decode(codes[:, :1]) + split.acoustic.decode(codes[:, 1:]))
    assert_same(split.decode(codes[:, :1]), split.semantic.decode(codes[:, :1]), 0)


def test_the_semantic_level_is_free_of_the_residual_chain(split: SplitResidualVectorQuantizer) -> None:
    """Each part sees the whole latent: changing one part's centroids leaves the other part's codes alone."""
    latent = torch.randn(2, MIMI.dim, 50)
    before = split.encode(latent, 4)
    split.semantic.set_centroids(0, torch.randn(32, 8))
    after = split.encode(latent, 4)
    assert torch.equal(after[:, 1:], before[:, 1:]) and not torch.equal(after[:, 0], before[:, 0])
    split.acoustic.set_centroids(0, torch.randn(32, 8))
    last = split.encode(latent, 4)
    assert torch.equal(last[:, 0], after[:, 0]) and not torch.equal(last[:, 1:], after[:, 1:])
