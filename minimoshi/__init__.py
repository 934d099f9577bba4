"""minimoshi: an educational reference of Moshi, the speech-text model for full-duplex dialogue (arXiv 2410.00037)."""

from .audio import load_audio, save_audio
from .config import DepthConfig, HeliumConfig, MimiConfig, MoshiConfig
from .mimi import RVQ, MimiAudioCodec, ResidualVectorQuantizer
from .moshi import DepthTransformer, FullDuplexDialogueModel, HierarchicalGenerator
from .text import HeliumModel, TextTokenizer

__version__ = "0.1.0"

__all__ = [
    "RVQ",
    "DepthConfig",
    "DepthTransformer",
    "FullDuplexDialogueModel",
    "HeliumConfig",
    "HeliumModel",
    "HierarchicalGenerator",
    "MimiAudioCodec",
    "MimiConfig",
    "MoshiConfig",
    "ResidualVectorQuantizer",
    "TextTokenizer",
    "load_audio",
    "save_audio",
]
