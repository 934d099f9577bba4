"""SEANet: the convolutional encoder and decoder around Mimi's bottleneck (paper §3.3.1).

Encoder: 24 kHz samples [B, 1, S] -> 25 Hz latent [B, D, S/960]. Decoder: the way back. Both are plain chains of causal
layers, so they stream as they are. An activation overwrites its input wherever nobody else needs it: at 24 kHz the
tensors are large, and making them costs as much as filling them.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..config import MimiConfig
from ..nn import ChainState, StreamingConv1d, StreamingConvTranspose1d, StreamingSequential


class ResidualBlock(StreamingSequential):
    """x + conv1(elu(conv3(elu(x)))): the inner width is `compress` times smaller."""

    def __init__(self, channels: int, kernel: int, compress: int):
        inner = channels // compress
        super().__init__(
            nn.ELU(),
            StreamingConv1d(channels, inner, kernel),
            nn.ELU(inplace=True),
            StreamingConv1d(inner, channels, 1),
        )

    def forward(self, x: Tensor, state: ChainState | None = None) -> Tensor:
        return super().forward(x, state).add_(x)


def seanet_encoder(config: MimiConfig) -> StreamingSequential:
    """[B, 1, S] -> [B, D, S / prod(ratios)]; channels double with every stride."""
    channels = config.encoder_filters
    layers: list[nn.Module] = [StreamingConv1d(1, channels, config.kernel)]
    for ratio in config.ratios:
        layers += [
            ResidualBlock(channels, config.residual_kernel, config.compress),
            nn.ELU(inplace=True),
            StreamingConv1d(channels, 2 * channels, 2 * ratio, stride=ratio),
        ]
        channels *= 2
    layers += [nn.ELU(inplace=True), StreamingConv1d(channels, config.dim, config.last_kernel)]
    return StreamingSequential(*layers)


def seanet_decoder(config: MimiConfig) -> StreamingSequential:
    """[B, D, T] -> [B, 1, T · prod(ratios)]; the encoder's mirror image."""
    channels = config.decoder_filters * 2 ** len(config.ratios)
    layers: list[nn.Module] = [StreamingConv1d(config.dim, channels, config.kernel)]
    for ratio in reversed(config.ratios):
        layers += [nn.ELU(inplace=True), StreamingConvTranspose1d(channels, channels // 2, 2 * ratio, stride=ratio)]
        channels //= 2
        layers.append(ResidualBlock(channels, config.residual_kernel, config.compress))
    layers += [nn.ELU(inplace=True), StreamingConv1d(channels, 1, config.last_kernel)]
    return StreamingSequential(*layers)
