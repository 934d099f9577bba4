"""Moshi: token grid, depth transformer, hierarchical generator, and the dialogue that joins them with the codec."""

from .depth import DepthTransformer
from .dialogue import Dialogue, DialogueSession, Frame, FullDuplexDialogueModel
from .generator import GeneratorOutput, HierarchicalGenerator
from .stream import GeneratorStream
from .transcriber import Transcriber

__all__ = [
    "DepthTransformer",
    "Dialogue",
    "DialogueSession",
    "Frame",
    "FullDuplexDialogueModel",
    "GeneratorOutput",
    "GeneratorStream",
    "HierarchicalGenerator",
    "Transcriber",
]
