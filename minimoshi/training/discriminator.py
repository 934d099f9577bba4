"""The critic: it looks at spectrograms of several window lengths and says where a sound is not real (paper §3.3.1).

Mimi's final recipe has no other teacher of sound than this: the codec learns to fool the discriminator (hinge loss) and
to look the same to its inner layers (feature matching). Window lengths and hops are those of EnCodec's discriminator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

SCALES = ((2048, 512), (1024, 256), (512, 128), (256, 64), (128, 32))  # (window, hop) in samples
SLOPE = 0.3  # of the leaky ReLUs
GAIN = 50.0  # brings the spectrum of speech near one, where a critic learns within hundreds of steps
_DILATIONS = (1, 2, 4)  # over time


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], **options) -> nn.Module:
    dilation = options.get("dilation", (1, 1))
    padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, padding=padding, **options))


class STFTDiscriminator(nn.Module):
    """One window length: wav [B, 1, S] -> (logits [B, 1, T, M'], inner layers), real sounds above zero."""

    def __init__(self, window: int, hop: int, filters: int = 32):
        super().__init__()
        self.n_fft, self.hop = window, hop
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        layers = [_conv(2, filters, (3, 9))]
        layers += [_conv(filters, filters, (3, 9), stride=(1, 2), dilation=(d, 1)) for d in _DILATIONS]
        layers += [_conv(filters, filters, (3, 3))]
        self.layers = nn.ModuleList(layers)
        self.last = _conv(filters, 1, (3, 3))

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        if wav.dim() != 3 or wav.shape[1] != 1 or wav.shape[2] < self.n_fft:
            raise ValueError(f"expected sound of shape [B, 1, S] with S at least {self.n_fft}, got {list(wav.shape)}")
        spectrum = torch.stft(
            wav[:, 0].float(),
            self.n_fft,
            self.hop,
            window=self.window,
            center=False,
            normalized=True,
            return_complex=True,
        )
        x = GAIN * torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # [B, 2, T, M]: real and imaginary part
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return self.last(x), features


class MultiScaleSTFTDiscriminator(nn.Module):
    """Several window lengths at once: wav [B, 1, S] -> (logits, features), one entry a scale."""

    def __init__(self, filters: int = 32, scales: tuple[tuple[int, int], ...] = SCALES):
        super().__init__()
        self.parts = nn.ModuleList(STFTDiscriminator(window, hop, filters) for window, hop in scales)

    def forward(self, wav: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        results = [part(wav) for part in self.parts]
        return [logits for logits, _ in results], [features for _, features in results]


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge: real sounds are pushed above 1, made ones below -1; 0 once both are there, 2 for a blind critic."""
    return sum(F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)) / len(real)


def generator_loss(fake: list[Tensor]) -> Tensor:
    """What the codec wants: made sounds that are taken for real. May fall below 0."""
    return -sum(logits.mean() for logits in fake) / len(fake)


def feature_matching_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """Mean absolute difference inside the critic, every layer in units of its own size on the real sound."""
    pairs = [(r.detach(), f) for rs, fs in zip(real, fake, strict=True) for r, f in zip(rs, fs, strict=True)]
    return sum((f - r).abs().mean() / r.abs().mean().clamp(min=1e-6) for r, f in pairs) / len(pairs)
