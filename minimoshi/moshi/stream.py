"""Generation, one frame at a time: the step loop of a conversation (paper §3.4.4, Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..nn import State, TransformerState
from ..sampling import sample
from .grid import UNGENERATED

if TYPE_CHECKING:
    from .generator import HierarchicalGenerator


@dataclass
class StreamState(State):
    """Everything a conversation remembers."""

    grid: Tensor  # int64 [B, K, max_delay + 2]: the newest columns of the delayed grid, as a ring
    temporal: TransformerState
    depth: TransformerState | None  # within the current frame only
    step: int = 0  # calls so far


class GeneratorStream:
    """The user's codes in, Moshi's text token and codes out, frame after frame.

    Call t predicts column t of the delayed grid from the columns before it: so Moshi's text and semantic token of frame t
    come out of call t, its acoustic tokens `delay` calls later, and a frame is complete only then. The first call has
    nothing but initial tokens to look at: whatever codes it is given are never seen.
    """

    def __init__(self, generator: HierarchicalGenerator, batch_size: int = 1, *, temperature: float = 0.8,
                 top_k: int | None = 250, text_temperature: float = 0.7, text_top_k: int | None = 25, seed: int | None = None,
                 condition: int | None = None):
        self.generator, self.config = generator, generator.config
        self.temperature, self.top_k = temperature, top_k
        self.text_temperature, self.text_top_k = text_temperature, text_top_k
        self.condition = condition
        self.device = generator.initial_tokens.device
        self.delays = torch.tensor(self.config.delays, device=self.device)
        self.rows = torch.arange(self.config.n_q + 1, device=self.device)
        self.random = None if seed is None else torch.Generator(self.device).manual_seed(seed)
        columns = self.config.max_delay + 2
        depth = generator.audio_model
        self.state = StreamState(
            torch.full((batch_size, self.config.n_q + 1, columns), UNGENERATED, device=self.device),
            generator.initial_state(batch_size), depth.initial_state(batch_size) if depth else None)

    @torch.inference_mode()
    def step(self, user_codes: Tensor | None = None, *, text: Tensor | None = None, audio: Tensor | None = None) -> Tensor | None:
        """user_codes int64 [B, n_user] -> int64 [B, 1 + dep_q]: the text token and Moshi's codes of one time-aligned frame.

        None for the first `max_delay` calls, while the acoustic delay fills. `text` [B] or `audio` [B, dep_q] put given
        tokens in the place of sampled ones.
        """
        state, dep_q = self.state, self.config.dep_q
        self._write(1 + dep_q, self._checked(user_codes), state.step + self.delays[1 + dep_q:])
        z = self.generator.context(self._column(), state.temporal, self.condition)
        if text is None:
            text = sample(self.generator.text_model.head(z)[:, 0], self.text_temperature, self.text_top_k, self.random)
        if audio is None:
            audio = self._codebooks(z[:, 0], text)
        state.step += 1
        self._write(0, torch.cat([text[:, None], audio], dim=1), torch.full((1 + dep_q,), state.step, device=self.device))
        if state.step <= self.config.max_delay:
            return None
        aligned = state.step - self.config.max_delay + self.delays[:1 + dep_q]
        return state.grid[:, self.rows[:1 + dep_q], aligned % state.grid.shape[2]]

    def _column(self) -> Tensor:
        """The input of this call, int64 [B, K, 1]; rows whose delay is not over yet hold their initial token."""
        column = self.state.grid[:, :, self.state.step % self.state.grid.shape[2]]
        if self.state.step <= self.config.max_delay:
            column = torch.where(self.state.step <= self.delays, self.generator.initial_tokens, column)
        return column[..., None]

    def _codebooks(self, z: Tensor, text: Tensor) -> Tensor:
        """One frame through the depth transformer: context [B, D] and text token [B] -> codes int64 [B, dep_q]."""
        depth, state, token, codes = self.generator.audio_model, self.state.depth, text, []
        if depth is None:
            return text[:, None][:, :0]
        state.steps = 0  # rewind: within a frame every slot is written before it is read
        state.offset.zero_()
        added = depth.project(z)
        for k in range(self.config.dep_q):
            token = sample(depth.step(k, added, token, state), self.temperature, self.top_k, self.random)
            codes.append(token)
        return torch.stack(codes, dim=1)

    def _write(self, first: int, tokens: Tensor, columns: Tensor) -> None:
        rows = self.rows[first:first + tokens.shape[1]]
        self.state.grid[:, rows, columns % self.state.grid.shape[2]] = tokens

    def _checked(self, user_codes: Tensor | None) -> Tensor:
        batch, wanted = self.state.grid.shape[0], self.config.n_user
        if user_codes is None and wanted == 0:
            return self.state.grid[:, :0, 0]
        if not isinstance(user_codes, Tensor) or user_codes.shape != (batch, wanted) or user_codes.dtype != torch.int64:
            got = f"{user_codes.dtype} {list(user_codes.shape)}" if isinstance(user_codes, Tensor) else repr(user_codes)
            raise ValueError(f"expected one frame of user codes, int64 [{batch}, {wanted}], got {got}")
        if wanted and (user_codes.min() < -1 or user_codes.max() > self.config.card):
            raise ValueError(f"user codes must lie in 0..{self.config.card - 1} (-1: none, {self.config.card}: initial), "
                             f"got {int(user_codes.min())}..{int(user_codes.max())}")
        return user_codes
