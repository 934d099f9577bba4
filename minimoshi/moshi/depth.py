"""The depth transformer: along the codebooks of one frame instead of along time (paper §3.4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import DepthConfig
from ..nn import StepLinear, Transformer
from ..nn.embedding import TokenEmbedding, init_truncated


class DepthTransformer(nn.Module):
    """Given the temporal context z of a frame, predicts its codebooks one after the other.

    Step 0 reads the frame's text token and predicts the semantic code; step k reads code k-1 and predicts code k. Every
    step adds z through its own projection and has its own weights.
    """

    def __init__(self, config: DepthConfig | None = None):
        super().__init__()
        self.config = config = config or DepthConfig.preset("tiny")
        self.input_proj = StepLinear(config.input_dim, config.dim, config.weight_schedule)
        self.text_embedding = TokenEmbedding(1, config.text_card + 1, config.dim, config.low_rank)
        self.audio_embedding = TokenEmbedding(config.dep_q - 1, config.card + 1, config.dim, config.low_rank)
        self.transformer = Transformer(config.transformer)
        self.out_norms = nn.ModuleList(
            nn.LayerNorm(config.dim) if config.output_norm else nn.Identity() for _ in range(config.dep_q)
        )
        self.heads = StepLinear(config.dim, config.card, tuple(range(config.dep_q)))
        init_truncated(self.heads.weight, config.dim)

    def forward(self, z: Tensor, text: Tensor, audio: Tensor) -> Tensor:
        """All steps at once, with the true tokens as inputs: for training.

        z [B, T, D] from the temporal transformer, text int64 [B, T], audio int64 [B, dep_q, T] -> logits
        [B, dep_q, T, V].
        """
        tokens = torch.cat(
            [self.text_embedding(text[:, None]), self.audio_embedding(audio[:, :-1])], dim=1
        )  # [B, Q, T, D]
        x = tokens.transpose(1, 2).flatten(0, 1) + self.project(z.flatten(0, 1))  # [B·T, Q, D]
        logits = self.heads(self._normed(self.transformer(x)), 0)  # [B·T, Q, V]
        return logits.view(*z.shape[:2], *logits.shape[1:]).transpose(1, 2)

    def project(self, z: Tensor) -> Tensor:
        """z [N, D of the temporal transformer] -> what each step adds, [N, Q, D]."""
        weight = self.input_proj.weights(0, self.config.dep_q)
        return torch.matmul(z, weight.mT).transpose(0, 1)

    def initial_state(self, batch_size: int = 1):
        """The memory within one frame; `rewind` it before the next."""
        return self.transformer.initial_state(batch_size)

    def step(self, k: int, added: Tensor, token: Tensor, state) -> Tensor:
        """One step of one frame: `added` [B, Q, D] from `project`, the previous token int64 [B] -> logits [B, V]."""
        token = token[:, None, None]
        embedded = self.text_embedding(token) if k == 0 else self.audio_embedding(token, first=k - 1)
        x = self.transformer(embedded[:, 0] + added[:, k : k + 1], state)
        return self.heads(self.out_norms[k](x), k)[:, 0]

    def _normed(self, x: Tensor) -> Tensor:
        if not self.config.output_norm:
            return x
        return torch.stack([norm(x[:, k]) for k, norm in enumerate(self.out_norms)], dim=1)
