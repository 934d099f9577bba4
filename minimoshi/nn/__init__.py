"""Building blocks that stream. They know nothing of speech."""

from .attention import Attention, RingCache, Rotary, rotate
from .conv import ConvState, ConvTransposeState, StreamingConv1d, StreamingConvTranspose1d
from .linear import RMSNorm, StepLinear, make_norm
from .sequential import ChainState, StreamingSequential
from .state import State
from .transformer import FeedForward, LayerScale, Transformer, TransformerLayer, TransformerState

__all__ = [
    "Attention",
    "ChainState",
    "ConvState",
    "ConvTransposeState",
    "FeedForward",
    "LayerScale",
    "RMSNorm",
    "RingCache",
    "Rotary",
    "State",
    "StepLinear",
    "StreamingConv1d",
    "StreamingConvTranspose1d",
    "StreamingSequential",
    "Transformer",
    "TransformerLayer",
    "TransformerState",
    "make_norm",
    "rotate",
]
