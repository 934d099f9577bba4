"""Generation, one frame at a time: the step loop of a conversation (paper §3.4.4, Fig. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..nn import State, TransformerState
from ..sampling import sample
from .grid import UNGENERATED, ZERO_TOKEN

if TYPE_CHECKING:
    from .generator import HierarchicalGenerator


@dataclass
class StreamState(State):
    """Everything a conversation remembers."""

    grid: Tensor  # int64 [B, K, max_delay + 2]: the newest columns of the delayed grid, as a ring
    temporal: TransformerState
    depth: TransformerState | None  # within the current frame only
    step: int = 0  # calls so far

    def reset(self, rows: Tensor | None = None) -> None:
        """Back to the start of time, all rows together: they share the step."""
        if rows is not None and not rows.all():
            raise ValueError("the conversations of a batch begin together: reset all of them, not some")
        super().reset()
        self.grid.fill_(UNGENERATED)
        self.step = 0


class GeneratorStream:
    """The user's codes in, Moshi's text token and codes out, frame after frame.

    Call t predicts column t of the delayed grid from the columns before it: so Moshi's text and semantic token of frame
    t come out of call t, its acoustic tokens `delay` calls later, and a frame is complete only then. The first call has
    nothing but initial tokens to look at: whatever codes it is given are never seen. `HierarchicalGenerator.stream`
    makes one and holds the usual options.
    """

    def __init__(
        self,
        generator: HierarchicalGenerator,
        batch_size: int,
        *,
        temperature: float,
        top_k: int | None,
        text_temperature: float,
        text_top_k: int | None,
        seed: int | None,
        condition: int | None,
    ):
        if min(temperature, text_temperature) < 0:
            raise ValueError(
                f"temperatures must be 0 (greedy) or positive, got {temperature} and {text_temperature} for text"
            )
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
            generator.initial_state(batch_size),
            depth.initial_state(batch_size) if depth else None,
        )

    @torch.inference_mode()
    def step(
        self, user_codes: Tensor | None = None, *, text: Tensor | None = None, audio: Tensor | None = None
    ) -> Tensor | None:
        """user_codes int64 [B, n_user] -> int64 [B, 1 + dep_q]: text token and Moshi's codes of one aligned frame.

        None for the first `max_delay` calls, while the acoustic delay fills. `text` [B] or `audio` [B, dep_q] put given
        tokens in the place of sampled ones.
        """
        state, dep_q, n_user = self.state, self.config.dep_q, self.config.n_user
        if user_codes is None and n_user == 0:
            user_codes = state.grid[:, :0, 0]
        batch = len(state.grid)
        self._check("user codes", user_codes, [batch, n_user], self.config.card)
        if text is not None:
            self._check("text", text, [batch], self.config.helium.text_card)
        if audio is not None:
            self._check("audio", audio, [batch, dep_q], self.config.card)
        self._write(1 + dep_q, user_codes, state.step + self.delays[1 + dep_q :])
        z = self.generator.context(self._column(), state.temporal, self.condition)
        if text is None:
            text = sample(self.generator.text_model.head(z)[:, 0], self.text_temperature, self.text_top_k, self.random)
        if audio is None:
            audio = self._codebooks(z[:, 0], text)
        state.step += 1
        self._write(0, torch.cat([text[:, None], audio], dim=1), state.step)
        if state.step <= self.config.max_delay:
            return None
        aligned = state.step - self.config.max_delay + self.delays[: 1 + dep_q]
        return state.grid[:, self.rows[: 1 + dep_q], aligned % state.grid.shape[2]]

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
        state.rewind()
        added = depth.project(z)
        for k in range(self.config.dep_q):
            token = sample(depth.step(k, added, token, state), self.temperature, self.top_k, self.random)
            codes.append(token)
        return torch.stack(codes, dim=1)

    def _write(self, first: int, tokens: Tensor, columns: Tensor | int) -> None:
        rows = self.rows[first : first + tokens.shape[1]]
        self.state.grid[:, rows, columns % self.state.grid.shape[2]] = tokens

    @staticmethod
    def _check(what: str, tokens: Any, shape: list[int], initial: int) -> None:
        if not isinstance(tokens, Tensor) or list(tokens.shape) != shape or tokens.dtype != torch.int64:
            got = f"{tokens.dtype} {list(tokens.shape)}" if isinstance(tokens, Tensor) else repr(tokens)
            raise ValueError(f"expected the {what} of one frame, int64 {shape}, got {got}")
        if tokens.numel() and (tokens.min() < ZERO_TOKEN or tokens.max() > initial):
            raise ValueError(
                f"{what} must lie in 0..{initial - 1} ({ZERO_TOKEN}: none, {initial}: initial), "
                f"got {int(tokens.min())}..{int(tokens.max())}"
            )
