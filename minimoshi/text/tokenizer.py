"""Text to tokens and back, on SentencePiece (paper §3.2.1)."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from ..checkpoint import SHIPPED
from ..config import EPAD_ID, PAD_ID

MODEL = "tokenizer.model"
WORD_START = "▁"  # SentencePiece writes the space before a word so


class TextTokenizer:
    """A SentencePiece unigram model: digits apart, bytes for characters it has never seen.

    Ids 0 and 3 never stand for text: 3 is PAD, "no word here", and 0 is EPAD, "a word begins with the next frame"
    (SentencePiece's unknown and pad pieces). 1 and 2 begin and end a sentence.
    """

    pad_id = PAD_ID
    epad_id = EPAD_ID

    def __init__(self, path: str | os.PathLike | None = None, *, model: bytes | None = None):
        """From a `.model` file, or from its bytes."""
        if (path is None) == (model is None):
            raise ValueError("give TextTokenizer either the path of a .model file or model=bytes")
        if path is not None:
            if not Path(path).is_file():
                raise FileNotFoundError(f"there is no tokenizer file {path}")
            model = Path(path).read_bytes()
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError(f"{path or 'the given bytes'} is not a SentencePiece model: {error}") from error
        self.proto = model

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 1000) -> TextTokenizer:
        """Learn up to `vocab_size` pieces from sentences; small corpora may support fewer."""
        texts = [text for text in texts if text.strip()]
        if not texts:
            raise ValueError("there is no text to train a tokenizer on")
        if vocab_size < 300:
            raise ValueError(
                f"vocab_size must leave room for 256 byte pieces and some words: at least 300, got {vocab_size}"
            )
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=out,
            vocab_size=vocab_size,
            model_type="unigram",
            byte_fallback=True,
            split_digits=True,
            character_coverage=1.0,
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=2,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,  # any text survives as it is
            unk_id=EPAD_ID,
            bos_id=1,
            eos_id=2,
            pad_id=PAD_ID,
        )
        return cls(model=out.getvalue())

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike) -> TextTokenizer:
        """A shipped tokenizer by name ("tiny"), a folder that holds tokenizer.model, or such a file."""
        shipped = SHIPPED / os.fspath(name_or_path) / "tokenizer" / MODEL
        if shipped.is_file():
            return cls(shipped)
        path = Path(name_or_path)
        path = path / MODEL if path.is_dir() else path
        if not path.is_file():
            names = sorted(p.parents[1].name for p in SHIPPED.glob(f"*/tokenizer/{MODEL}"))
            raise FileNotFoundError(
                f"no tokenizer {str(name_or_path)!r} and no file {path}; shipped: {', '.join(names)}"
            )
        return cls(path)

    def save(self, path: str | os.PathLike) -> None:
        """Write the `.model` file; a folder gets `tokenizer.model` inside."""
        path = Path(path)
        (path / MODEL if path.is_dir() else path).write_bytes(self.proto)

    @property
    def vocab_size(self) -> int:
        """V: ids run from 0 to V - 1."""
        return self._model.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Text to ids; no begin or end markers."""
        return self._model.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text; PAD, EPAD and sentence markers are left out."""
        return self._model.decode([i for i in ids if not self.is_silent(i)])

    def piece(self, token: int) -> str:
        """The raw piece of an id, e.g. "▁three"."""
        if not 0 <= token < self.vocab_size:
            raise ValueError(f"token ids run from 0 to {self.vocab_size - 1}, got {token}")
        return self._model.id_to_piece(token)

    def is_silent(self, token: int) -> bool:
        """True for ids that are not text: EPAD, sentence markers, PAD, and a model's rows beyond the vocabulary."""
        return token <= PAD_ID or token >= self.vocab_size

    def stream(self) -> TextStream:
        """A decoder to be fed one id at a time."""
        return TextStream(self)


class TextStream:
    """Ids in, text out as soon as it is certain: byte pieces wait until they make a character."""

    def __init__(self, tokenizer: TextTokenizer):
        self.tokenizer = tokenizer
        self._characters = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str | None:
        """The text that this id adds, with a space before a new word; None for PAD, EPAD and unfinished characters."""
        if self.tokenizer.is_silent(token):
            return None
        piece = self.tokenizer.piece(token)
        if self.tokenizer._model.is_byte(token):
            return self._characters.decode(bytes([int(piece[3:5], 16)])) or None  # "<0xE4>"
        cut_short = self._characters.decode(b"", final=True)
        return cut_short + piece.replace(WORD_START, " ")
