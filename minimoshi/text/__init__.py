"""Text: the tokenizer and Helium, the language model. It knows nothing of audio."""

from .helium import HeliumModel
from .tokenizer import TextStream, TextTokenizer

__all__ = ["HeliumModel", "TextStream", "TextTokenizer"]
