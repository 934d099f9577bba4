"""Causal convolutions that stream: [B, C, S] in, [B, C', S'] out, the past kept in the state.

A convolution of kernel k, dilation d and stride s looks back over (k-1)d+1 samples and moves on by s: it must remember
the last (k-1)d+1-s. A transposed convolution smears each input over k outputs but only s of them are final: it must
remember the unfinished k-s. Both start from silence (paper §3.3.1: all padding is on the left).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .linear import linear
from .state import State, check_batch, device_and_dtype


def few_and_heavy(steps: int, weight: Tensor) -> bool:
    """Whether a convolution is better done as a matrix product.

    oneDNN re-packs a convolution's weights on every call. With many weights and few steps, as when 80 ms are streamed
    through a full-size codec, that costs more than the convolution itself.
    """
    return steps <= 16 and weight.shape[0] * weight.shape[1] >= 1024


@dataclass
class ConvState(State):
    past: Tensor  # [B, C, P] the last P inputs
    started: Tensor  # [B] bool: False until the first input, which "replicate" padding copies into the past


class StreamingConv1d(nn.Conv1d):
    """Causal convolution. In [B, C, S], out [B, C', S / stride]; S must be a multiple of the stride.

    pad_mode "zero": the time before the first sample is silence. "replicate": it holds the first sample (Mimi's step
    from 25 to 12.5 Hz).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        pad_mode: str = "zero",
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups, bias=bias
        )
        if pad_mode not in ("zero", "replicate"):
            raise ValueError(f"pad_mode must be 'zero' or 'replicate', got {pad_mode!r}")
        self.pad_mode = pad_mode
        self.span = (kernel_size - 1) * dilation + 1
        self.past = self.span - stride
        if self.past < 0:
            raise ValueError(f"stride {stride} skips samples: it may not exceed the kernel's span {self.span}")

    def initial_state(self, batch_size: int = 1) -> ConvState:
        place = device_and_dtype(self)
        return ConvState(
            torch.zeros(batch_size, self.in_channels, self.past, **place),
            torch.zeros(batch_size, dtype=torch.bool, device=place["device"]),
        )

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        check_batch(state, x, "StreamingConv1d")
        if x.shape[-1] == 0 or x.shape[-1] % self.stride[0]:
            raise ValueError(f"expected a positive multiple of the stride {self.stride[0]} samples, got {x.shape[-1]}")
        if not self.past:
            return self._convolve(x)
        steps = x.shape[-1] // self.stride[0]
        if state is None and self.pad_mode == "zero" and not self._as_product(x.shape[0] * steps):
            return self._convolve(x, self.past)[..., :steps]  # padding on both sides spares a copy of a long input
        padded = torch.cat([self._past(x, state), x], dim=-1)
        if state is not None:
            state.past.copy_(padded[..., -self.past :].detach())
            state.started.fill_(True)
        return self._convolve(padded)

    def _past(self, x: Tensor, state: ConvState | None) -> Tensor:
        if self.pad_mode == "zero":
            return x.new_zeros(*x.shape[:2], self.past) if state is None else state.past
        first = x[..., :1].expand(-1, -1, self.past)
        return first if state is None else torch.where(state.started.clone()[:, None, None], state.past, first)

    def _as_product(self, steps: int) -> bool:
        return self.groups == 1 and few_and_heavy(steps, self.weight)

    def _convolve(self, x: Tensor, padding: int = 0) -> Tensor:
        steps = (x.shape[-1] - self.span) // self.stride[0] + 1
        if padding or not self._as_product(x.shape[0] * steps):
            return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        windows = x.unfold(-1, self.span, self.stride[0])[..., :: self.dilation[0]]  # [B, C, T, k]
        y = linear(windows.transpose(1, 2).flatten(2), self.weight.flatten(1)).transpose(1, 2)  # [B, C', T]
        return y if self.bias is None else y + self.bias[:, None]


@dataclass
class ConvTransposeState(State):
    unfinished: Tensor  # [B, C', k - s] outputs that the next inputs will still add to, without the bias


class StreamingConvTranspose1d(nn.Module):
    """Causal transposed convolution. In [B, C, T], out [B, C', T · stride].

    Each input step becomes k outputs; neighbours overlap and add. Weights have the layout of
    `torch.nn.ConvTranspose1d`: [C, C' / groups, k]. groups is 1 or C (depth-wise).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1, bias: bool = True
    ):
        super().__init__()
        if kernel_size < stride:
            raise ValueError(f"kernel_size {kernel_size} leaves gaps: it must be at least the stride {stride}")
        if groups not in (1, in_channels) or groups > 1 and out_channels != in_channels:
            raise ValueError(f"groups must be 1, or equal in_channels and out_channels (depth-wise), got {groups}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = kernel_size, stride
        reference = nn.ConvTranspose1d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias)
        self.weight, self.bias = reference.weight, reference.bias

    def initial_state(self, batch_size: int = 1) -> ConvTransposeState:
        return ConvTransposeState(
            torch.zeros(batch_size, self.out_channels, self.kernel_size - self.stride, **device_and_dtype(self))
        )

    def forward(self, x: Tensor, state: ConvTransposeState | None = None) -> Tensor:
        check_batch(state, x, "StreamingConvTranspose1d")
        steps, overlap = x.shape[-1], self.kernel_size - self.stride
        if steps == 0:
            raise ValueError("expected at least one step, got none")
        y = self._smear(x)  # [B, C', T·s + k - s]
        if state is not None and overlap:
            y[..., :overlap] += state.unfinished
            unfinished = y[..., steps * self.stride :].detach()
            state.unfinished.copy_(unfinished if self.bias is None else unfinished - self.bias.detach()[:, None])
        return y[..., : steps * self.stride]

    def _smear(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C', T·s + k - s]: every input step spread over k outputs, overlaps and the bias added."""
        if self.groups > 1 or not few_and_heavy(x.shape[0] * x.shape[-1], self.weight):
            return F.conv_transpose1d(x, self.weight, self.bias, self.stride, groups=self.groups)
        spread = x.transpose(1, 2) @ self.weight.flatten(1)  # [B, T, C'·k]
        spread = spread.unflatten(-1, (self.out_channels, self.kernel_size)).transpose(1, 2)  # [B, C', T, k]
        batch, channels, steps = spread.shape[:3]
        out = spread.new_zeros(batch, channels, (steps - 1) * self.stride + self.kernel_size)
        for t in range(steps):
            out[..., t * self.stride : t * self.stride + self.kernel_size] += spread[:, :, t]
        return out if self.bias is None else out + self.bias[:, None]
