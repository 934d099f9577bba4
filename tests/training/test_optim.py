"""Muon: orthogonal updates of the right size, on the right parameters."""

import pytest
import torch
from torch import nn

from minimoshi.mimi import MimiAudioCodec
from minimoshi.nn import StreamingConvTranspose1d
from minimoshi.training.optim import Muon, cosine, orthogonalise, split_parameters
from tests.speech_toys import CODEC


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (24, 64)])
def test_orthogonalise_evens_out_the_singular_values(shape):
    matrix = torch.randn(shape) @ torch.diag(torch.linspace(0.2, 5, shape[1]))
    before, after = (torch.linalg.svdvals(m) for m in (matrix, orthogonalise(matrix)))
    assert before[0] / before[-1] > 2.5
    assert after[0] < 1.3 and after[-1] > 0.5


def test_orthogonalise_keeps_the_directions():
    matrix = torch.randn(12, 40)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = u.T @ orthogonalise(matrix) @ v.T
    assert (made - torch.diag(made.diagonal())).abs().max() < 1e-3
    assert made.diagonal().min() > 0.4


@pytest.mark.parametrize("shape, size", [((8, 32), 1.0), ((32, 8), 2.0), ((8, 4, 8), 1.0)])
def test_a_step_changes_a_matrix_by_lr(shape, size):
    weight = nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape) * 1e-4  # the size of the gradient does not matter
    Muon([weight], lr=0.1).step()
    largest = torch.linalg.svdvals(weight.detach().flatten(1))[0]
    assert float(largest) == pytest.approx(0.1 * size, rel=0.3)


def test_a_transposed_convolution_is_turned():
    layer = StreamingConvTranspose1d(4, 32, 6, 3)
    matrices, _ = split_parameters([layer])
    assert matrices == [layer.weight]
    layer.weight.grad = torch.randn_like(layer.weight)
    before = layer.weight.detach().clone()
    Muon(matrices, lr=0.1).step()
    change = (layer.weight.detach() - before).transpose(0, 1).flatten(1)  # [out, in · k]
    values = torch.linalg.svdvals(change)
    assert float(values[0] / values[-1]) < 3


def test_muon_solves_least_squares():
    torch.manual_seed(0)
    wanted, inputs = torch.randn(8, 8), torch.randn(256, 8)
    layer = nn.Linear(8, 8, bias=False)
    optimizer = Muon(layer.parameters(), lr=0.1)
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 0.1 * cosine(step / 150, step, warm_up=1)
        loss = (layer(inputs) - inputs @ wanted.T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-2


def test_every_parameter_has_one_optimiser():
    codec = MimiAudioCodec(CODEC)
    matrices, others = split_parameters([codec, codec.encoder])
    ids = [id(p) for p in matrices + others]
    assert sorted(ids) == sorted(id(p) for p in codec.parameters())
    muon = {id(p) for p in matrices}
    assert id(codec.encoder_transformer.layers[0].attention.in_proj.weight) in muon
    assert id(codec.encoder[0].weight) not in muon  # one input channel: no matrix to speak of
    assert id(codec.upsample.weight) not in muon  # depth-wise


def test_frozen_parameters_are_left_out():
    codec = MimiAudioCodec(CODEC).requires_grad_(False)
    assert split_parameters([codec]) == ([], [])


def test_the_learning_rate_rises_then_falls():
    factors = [cosine(step / 1000, step) for step in range(1001)]
    assert factors[0] < 0.05
    assert factors.index(max(factors)) == pytest.approx(40, abs=5)
    assert factors[-1] == pytest.approx(0.02)
    assert factors[500] == pytest.approx(0.5, abs=0.02)
