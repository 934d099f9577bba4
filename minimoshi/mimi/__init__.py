"""The neural codec: 24 kHz speech <-> 12.5 frames a second of tokens. It knows nothing of text."""

from .codec import CodecState, MimiAudioCodec
from .quantizer import ResidualVectorQuantizer, SplitResidualVectorQuantizer

RVQ = ResidualVectorQuantizer

__all__ = ["RVQ", "CodecState", "MimiAudioCodec", "ResidualVectorQuantizer", "SplitResidualVectorQuantizer"]
