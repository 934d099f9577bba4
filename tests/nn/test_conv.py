"""Our causal convolutions against torch's own, with the silence before the first sample made explicit."""

import pytest
import torch
from torch.nn import functional as F

from minimoshi.nn import StreamingConv1d, StreamingConvTranspose1d
from tests.helpers import assert_same

CONVS = [
    dict(kernel_size=7),
    dict(kernel_size=1),
    dict(kernel_size=8, stride=4),
    dict(kernel_size=3, dilation=4),
    dict(kernel_size=5, stride=3, dilation=2, bias=False),
    dict(kernel_size=4, stride=2, groups=4),
]


@pytest.mark.parametrize("pad_mode", ["zero", "replicate"])
@pytest.mark.parametrize("channels", [4, 64])  # few and many channels may take different paths
@pytest.mark.parametrize("steps", [1, 3, 60])
@pytest.mark.parametrize("options", CONVS, ids=str)
def test_convolution_is_torch_s_with_a_left_pad(options: dict, steps: int, channels: int, pad_mode: str) -> None:
    layer = StreamingConv1d(channels, channels, pad_mode=pad_mode, **options)
    stride, dilation = layer.stride[0], layer.dilation[0]
    x = torch.randn(2, channels, steps * stride)
    past = (layer.kernel_size[0] - 1) * dilation + 1 - stride
    padded = F.pad(x, (past, 0), mode="constant" if pad_mode == "zero" else "replicate")
    expected = F.conv1d(padded, layer.weight, layer.bias, stride, dilation=dilation, groups=layer.groups)
    assert expected.shape[-1] == steps
    assert_same(layer(x), expected)


@pytest.mark.parametrize("groups", [1, 6])
@pytest.mark.parametrize("steps", [1, 2, 25])
@pytest.mark.parametrize("kernel, stride", [(8, 4), (16, 8), (5, 5), (7, 3), (11, 2), (3, 1), (1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_transposed_is_torch_s_trimmed_right(kernel: int, stride: int, steps: int, groups: int, bias: bool) -> None:
    layer = StreamingConvTranspose1d(6, 6, kernel, stride, groups=groups, bias=bias)
    x = torch.randn(2, 6, steps)
    full = F.conv_transpose1d(x, layer.weight, layer.bias, stride, groups=groups)
    assert_same(layer(x), full[..., : steps * stride])


@pytest.mark.parametrize("kind", [StreamingConv1d, StreamingConvTranspose1d])
def test_gradients_are_those_of_torch(kind: type) -> None:
    layer = kind(3, 5, 8, 4)
    x = torch.randn(2, 3, 12, requires_grad=True)
    (layer(x) ** 2).sum().backward()
    ours = [x.grad.clone(), layer.weight.grad.clone(), layer.bias.grad.clone()]
    layer.zero_grad()
    x.grad = None
    if kind is StreamingConv1d:
        y = F.conv1d(F.pad(x, (4, 0)), layer.weight, layer.bias, 4)
    else:
        y = F.conv_transpose1d(x, layer.weight, layer.bias, 4)[..., :48]
    (y**2).sum().backward()
    for got, expected in zip(ours, [x.grad, layer.weight.grad, layer.bias.grad], strict=True):
        torch.testing.assert_close(got, expected)


def test_impulse_is_heard_from_its_sample_on() -> None:
    layer = StreamingConv1d(1, 1, 3, bias=False)
    layer.weight.data = torch.tensor([[[30.0, 20.0, 10.0]]])  # the last weight meets the newest sample
    assert layer(torch.tensor([[[0.0, 1.0, 0.0, 0.0, 0.0]]])).tolist() == [[[0.0, 10.0, 20.0, 30.0, 0.0]]]


def test_replicate_repeats_the_first_sample_only_at_the_start() -> None:
    layer = StreamingConv1d(1, 1, 2, bias=False, pad_mode="replicate")
    layer.weight.data = torch.tensor([[[1.0, 0.0]]])  # a delay of one sample
    state = layer.initial_state(1)
    outputs = [layer(torch.tensor([[[float(value)]]]), state).item() for value in (5, 6, 7)]
    assert outputs == [5.0, 5.0, 6.0]


@pytest.mark.parametrize("samples", [1, 3, 0])
def test_samples_must_fill_strides(samples: int) -> None:
    with pytest.raises(ValueError, match=f"positive multiple of the stride 2 samples, got {samples}"):
        StreamingConv1d(1, 1, 4, stride=2)(torch.zeros(1, 1, samples))


def test_impossible_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="pad_mode must be 'zero' or 'replicate', got 'reflect'"):
        StreamingConv1d(1, 1, 3, pad_mode="reflect")
    with pytest.raises(ValueError, match="stride 4 skips samples"):
        StreamingConv1d(1, 1, 3, stride=4)
    with pytest.raises(ValueError, match="kernel_size 3 leaves gaps"):
        StreamingConvTranspose1d(1, 1, 3, 4)
    with pytest.raises(ValueError, match="depth-wise"):
        StreamingConvTranspose1d(4, 4, 3, 1, groups=2)
