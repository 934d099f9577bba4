"""Speech recognition by a delay: the generator without its mouth, its text a little behind the sound it hears.

The paper's remark (§3.4.4, appendix C): with the text ahead of the sound the model is a voice, with the text behind it
a stenographer. Everything else is what Moshi is made of, and one hears that in how little code is left.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from ..audio import check_mono
from ..checkpoint import find_folder
from ..config import SAMPLE_RATE
from ..mimi import MimiAudioCodec
from ..text import TextTokenizer
from .dialogue import timed_words
from .generator import HierarchicalGenerator

LEAD = 5  # frames of silence before a recording: one that begins with its first word would lose it


@dataclass(frozen=True)
class Heard:
    """A word and when it was said: seconds from the beginning, `end` that of its last token."""

    text: str
    start: float
    end: float


class Transcriber:
    """What somebody says, as timed words.

    >>> transcriber = Transcriber.from_pretrained("tiny")
    >>> words = transcriber(wav)          # wav float [S] at 24 kHz
    """

    def __init__(self, codec: MimiAudioCodec, generator: HierarchicalGenerator, tokenizer: TextTokenizer):
        config = generator.config
        if config.dep_q or not config.delays[0]:
            raise ValueError(
                "a transcriber's generator only listens (depth None) and writes later than it hears (delays[0] > 0), "
                f"got dep_q {config.dep_q} and delays {config.delays}; see MoshiConfig.transcriber"
            )
        given, wanted = (codec.n_quantizers, codec.config.codebook_size), (config.n_q, config.card)
        if given[0] < wanted[0] or given[1] != wanted[1]:
            raise ValueError(
                f"the codec gives {given[0]} codebooks of {given[1]} entries, "
                f"the generator needs {wanted[0]} of {wanted[1]}"
            )
        self.codec, self.generator, self.tokenizer = codec, generator, tokenizer

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike = "tiny", codec: str | os.PathLike = "tiny") -> Transcriber:
        """A shipped name, or a folder with the generator. codec: a name or folder; the tokenizer is the tiny one."""
        generator = HierarchicalGenerator.from_pretrained(find_folder(name, "transcriber"))
        return cls(MimiAudioCodec.from_pretrained(codec), generator, TextTokenizer.from_pretrained("tiny"))

    @property
    def behind(self) -> float:
        """Seconds between a sound and its text."""
        return self.generator.config.delays[0] / self.codec.frame_rate

    @torch.inference_mode()
    def __call__(self, wav: Tensor) -> list[Heard]:
        """float [S] at 24 kHz -> words in order."""
        check_mono(wav)
        config, size = self.generator.config, self.codec.frame_size
        frames = -(-len(wav) // size)
        sound = torch.nn.functional.pad(wav, (LEAD * size, (frames + config.max_delay) * size - len(wav)))
        state, stream = self.codec.initial_state(), self.generator.stream(text_temperature=0.0)
        words, pieces = self.tokenizer.stream(), []
        stream.step(torch.zeros(1, config.n_q, dtype=torch.int64))  # the first call cannot see its codes
        for pcm in sound.split(size):
            token = stream.step(self.codec.encode(pcm[None, None], state)[:, : config.n_q, 0])
            if token is not None:
                pieces.append(words.push(int(token[0, 0])))
        found = timed_words(pieces[: LEAD + frames], size / SAMPLE_RATE)
        early = LEAD * size / SAMPLE_RATE
        return [Heard(text, max(0.0, start - early), max(0.0, end - early)) for text, start, end in found]
