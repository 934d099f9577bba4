"""A start from which the codec can learn.

With torch's own initialisation hardly anything of the sound is left after the encoder's many layers. Here
every convolution keeps the size of what passes through it, and the decoder starts out nearly silent.
"""

from __future__ import annotations

import torch
from torch import nn

from ..mimi import MimiAudioCodec
from ..nn import StreamingConvTranspose1d
from .modules import groups_of

GAIN, FIRST_SOUND = 1.2, 0.05


@torch.no_grad()
def scaled_init(codec: MimiAudioCodec) -> MimiAudioCodec:
    """Initialise the convolutions of `codec` by how many inputs each output sums; returns the codec."""
    convolutions = [codec.downsample, codec.upsample, *codec.encoder.modules(), *codec.decoder.modules()]
    last = None
    for layer in convolutions:
        if isinstance(layer, StreamingConvTranspose1d):
            fan_in = layer.in_channels // layer.groups * layer.kernel_size / layer.stride
        elif isinstance(layer, nn.Conv1d):
            fan_in = layer.weight[0].numel()
        else:
            continue
        nn.init.normal_(layer.weight, std=GAIN / fan_in**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        last = layer
    last.weight.mul_(FIRST_SOUND)
    groups = groups_of(codec.quantizer)
    for group in groups:
        nn.init.orthogonal_(group.output_proj.weight)
    if len(groups) == 2:
        groups[0].output_proj.weight.mul_(0.5)
    return codec
