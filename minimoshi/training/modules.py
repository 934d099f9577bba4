"""The two halves of a codec, as lists of modules to train or to leave alone, and its groups of codebooks."""

from __future__ import annotations

from torch import nn

from ..mimi import MimiAudioCodec, ResidualVectorQuantizer, SplitResidualVectorQuantizer


def groups_of(quantizer: SplitResidualVectorQuantizer | ResidualVectorQuantizer) -> list[ResidualVectorQuantizer]:
    """The residual chains of a quantiser: Mimi's semantic and acoustic one, or the only one of a plain quantiser."""
    if isinstance(quantizer, ResidualVectorQuantizer):
        return [quantizer]
    return [quantizer.semantic, quantizer.acoustic]


def encoder_modules(codec: MimiAudioCodec) -> list[nn.Module]:
    """Everything between the sound and the codebooks."""
    inputs = [group.input_proj for group in groups_of(codec.quantizer)]
    return [codec.encoder, codec.encoder_transformer, codec.downsample, *inputs]


def decoder_modules(codec: MimiAudioCodec) -> list[nn.Module]:
    """Everything between the codebooks and the sound."""
    outputs = [group.output_proj for group in groups_of(codec.quantizer)]
    return [*outputs, codec.upsample, codec.decoder_transformer, codec.decoder]
