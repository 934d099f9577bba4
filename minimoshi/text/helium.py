"""Helium: the text language model, and the body of the temporal transformer (paper §3.2.1)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint import Pretrained
from ..config import HeliumConfig
from ..nn import StepLinear, Transformer, TransformerState, make_norm
from ..nn.embedding import ZERO_TOKEN, TokenEmbedding, init_truncated
from ..sampling import sample
from .tokenizer import MODEL, TextTokenizer


class HeliumModel(Pretrained, nn.Module):
    """int64 tokens [B, T] -> logits [B, T, V] for the token after each.

    The generator runs the same class as its temporal transformer: it adds audio embeddings to `embed(text)` and reads
    `hidden` as context for the depth transformer.
    """

    config_class = HeliumConfig
    part = "helium"

    def __init__(self, config: HeliumConfig | None = None, tokenizer: TextTokenizer | None = None):
        super().__init__()
        self.config = config = config or HeliumConfig.preset("tiny")
        self.tokenizer = tokenizer
        if tokenizer is not None and tokenizer.vocab_size > config.text_card:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocab_size} pieces but the model only {config.text_card} rows"
            )
        self.embedding = TokenEmbedding(1, config.text_card + 1, config.dim)
        self.transformer = Transformer(config.transformer)
        self.out_norm = make_norm(config.norm, config.dim, config.norm_eps)
        self.head = StepLinear(config.dim, config.text_card_out or config.text_card)
        for layer in self.modules():
            if isinstance(layer, StepLinear):
                init_truncated(layer.weight, layer.weight.shape[-1])

    @property
    def initial_id(self) -> int:
        """The token every stream starts with; it is never predicted."""
        return self.config.text_card

    def initial_state(self, batch_size: int = 1) -> TransformerState:
        return self.transformer.initial_state(batch_size)

    def embed(self, tokens: Tensor) -> Tensor:
        """int64 [B, T] -> [B, T, D]."""
        return self.embedding(tokens[:, None])[:, 0]

    def hidden(self, x: Tensor, state: TransformerState | None = None) -> Tensor:
        """Embeddings [B, T, D] -> context [B, T, D], after the last norm."""
        return self.out_norm(self.transformer(x, state))

    def forward(self, tokens: Tensor, state: TransformerState | None = None) -> Tensor:
        if tokens.dim() != 2 or tokens.dtype != torch.int64 or tokens.numel() == 0:
            raise ValueError(f"expected int64 tokens of shape [B, T], got {tokens.dtype} {list(tokens.shape)}")
        low, high = tokens.aminmax()
        if low < ZERO_TOKEN or high > self.initial_id:
            raise ValueError(
                f"text tokens must lie in 0..{self.initial_id} (or {ZERO_TOKEN}: none), got {int(low)}..{int(high)}"
            )
        return self.head(self.hidden(self.embed(tokens), state))

    @torch.inference_mode()
    def generate(
        self,
        prompt: str = "",
        max_tokens: int = 50,
        temperature: float = 0.8,
        top_k: int | None = 50,
        seed: int | None = None,
    ) -> str:
        """Continue `prompt` until the model ends the sentence or `max_tokens` are out. Returns the new text alone."""
        if self.tokenizer is None:
            raise ValueError("this model has no tokenizer; set helium.tokenizer = TextTokenizer(path)")
        generator = None if seed is None else torch.Generator(self.head.weight.device).manual_seed(seed)
        tokens = torch.tensor([[self.initial_id, *self.tokenizer.encode(prompt)]], device=self.head.weight.device)
        state, written = self.initial_state(), []
        for _ in range(max_tokens):
            logits = self(tokens, state)[:, -1]
            tokens = sample(logits, temperature, top_k, generator)[:, None]
            if int(tokens) in (1, 2):
                break
            written.append(int(tokens))
        return self.tokenizer.decode(written)

    def save_pretrained(self, folder: str | os.PathLike, dtype: torch.dtype | None = None) -> None:
        super().save_pretrained(folder, dtype)
        if self.tokenizer is not None:
            self.tokenizer.save(folder)

    def _load(self, folder: Path, card: dict[str, Any]) -> None:
        super()._load(folder, card)
        if (folder / MODEL).exists():
            self.tokenizer = TextTokenizer(folder / MODEL)
