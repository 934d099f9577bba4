"""Muon: orthogonal updates of the right size, on the right parameters."""

import copy

import pytest
import torch
from torch import nn

from minimoshi.mimi import MimiAudioCodec
from minimoshi.nn import StreamingConvTranspose1d
from minimoshi.nn.linear import StepLinear
from minimoshi.training.optim import Muon, Optimisers, cosine, orthogonalise, split_parameters
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


def test_a_stack_is_as_many_matrices():
    layer, lone = StepLinear(8, 24, schedule=(0, 1, 2)), nn.Parameter(torch.zeros(24, 8))
    matrices, _ = split_parameters([layer])
    assert matrices == [layer.weight] and layer.weight.shape == (3, 24, 8)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(3, 24, 8)
    lone.grad = layer.weight.grad[1].clone()
    Muon(matrices, lr=0.1).step()
    Muon([lone], lr=0.1).step()
    assert torch.allclose(layer.weight.detach()[1] - before[1], lone.detach(), atol=1e-5)


def test_decay_is_a_share_of_the_weight():
    weight = nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(weight.detach(), torch.full((4, 4), 0.95))


def test_optimisers_step_together_and_come_back():
    def made() -> tuple[nn.Linear, Optimisers]:
        torch.manual_seed(0)
        layer = nn.Linear(6, 6)
        adam = torch.optim.AdamW([dict(params=[layer.bias], share=0.5)], 0.1)
        return layer, Optimisers({"adam": (adam, 0.1), "muon": (Muon([layer.weight]), 0.02)})

    def step(layer: nn.Linear, both: Optimisers) -> None:
        both.zero_grad()
        layer(torch.ones(2, 6)).square().sum().backward()
        both.step(0.5)

    layer, both = made()
    assert {id(p) for p in both.parameters()} == {id(layer.weight), id(layer.bias)}
    step(layer, both)
    assert both.parts["adam"][0].param_groups[0]["lr"] == pytest.approx(0.025)
    assert both.parts["muon"][0].param_groups[0]["lr"] == pytest.approx(0.01)
    kept, weights = copy.deepcopy(both.state_dict()), copy.deepcopy(layer.state_dict())
    step(layer, both)
    other, again = made()
    other.load_state_dict(weights)
    again.load_state_dict(kept)
    step(other, again)
    assert torch.equal(layer.weight, other.weight) and torch.equal(layer.bias, other.bias)


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
