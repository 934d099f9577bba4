"""Generation, one frame at a time: the step loop of a conversation (paper §3.4.4, Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import EPAD_ID, PAD_ID
from ..nn import State, TransformerState
from ..sampling import Random, Sampling, penalise, sample
from .grid import UNGENERATED, ZERO_TOKEN

if TYPE_CHECKING:
    from .generator import HierarchicalGenerator

Text = Tensor | Callable[[Tensor], Tensor] | None  # tokens in the place of sampled ones, or what makes them of these


@dataclass
class StreamState(State):
    """Everything the conversations of a batch remember, each row at its own time."""

    grid: Tensor  # int64 [B, K, 2·max_delay + 1]: the delayed grid around now, which is the column in the middle
    steps: Tensor  # int64 [B]: calls so far
    said: Tensor  # int64 [B, N]: the latest text tokens that were not silent, the newest last; 0 before the first
    temporal: TransformerState
    random: list[torch.Generator]  # one per row

    def reset(self, rows: Tensor | None = None) -> None:
        """Back to the start of time, the same random numbers ahead: all rows, or those where bool [B] is true."""
        super().reset(rows)
        self.grid[... if rows is None else rows] = UNGENERATED
        for row, generator in enumerate(self.random):
            if rows is None or rows[row]:
                generator.manual_seed(generator.initial_seed())

    def moving(self) -> Iterator[Tensor]:
        # not the rings: a row that stands still writes one slot too early, and again before it looks at it
        yield from (self.grid, self.steps, self.said, self.temporal.offset)


class GeneratorStream:
    """The user's codes in, Moshi's text token and codes out, frame after frame.

    Call t predicts column t of the delayed grid from the columns before it: so Moshi's text and semantic token of frame
    t come out of call t, its acoustic tokens `delay` calls later, and a frame is complete only then. The first call has
    nothing but initial tokens to look at: whatever codes it is given are never seen. `HierarchicalGenerator.stream`
    makes one.

    The rows of a batch know nothing of each other. `state.reset(rows)` or `restart` begins some of them anew, `active`
    lets some stand still.
    """

    def __init__(
        self,
        generator: HierarchicalGenerator,
        batch_size: int,
        sampling: Sampling,
        seed: int | Sequence[int | None] | None,
        condition: int | None,
    ):
        self.generator, self.config, self.sampling, self.condition = generator, generator.config, sampling, condition
        self.device = generator.initial_tokens.device
        config, now = self.config, self.config.max_delay
        self.delays = torch.tensor(config.delays, device=self.device)
        streams, predicted = torch.arange(config.n_q + 1, device=self.device), 1 + config.dep_q
        # The user's streams are the last ones. A model that predicts both speakers can be told the second one's codes.
        self.n_heard = config.n_user or config.n_q // 2
        # Cells of the grid: where the user's codes go; where the oldest frame lies after a step.
        self.heard = slice(None), streams[-self.n_heard :], now + self.delays[-self.n_heard :]
        self.oldest = slice(None), streams[:predicted], self.delays[:predicted]
        depth = generator.audio_model
        self.frame_state = depth.initial_state(batch_size) if depth else None  # forgotten after every frame
        said = sampling.repetition_context if sampling.repetition_penalty != 1 else 0
        self.state = StreamState(
            torch.full((batch_size, config.n_q + 1, 2 * config.max_delay + 1), UNGENERATED, device=self.device),
            torch.zeros(batch_size, dtype=torch.int64, device=self.device),
            torch.zeros(batch_size, said, dtype=torch.int64, device=self.device),
            generator.initial_state(batch_size),
            [self._random(one) for one in _seeds(seed, batch_size)],
        )

    def restart(self, row: int, seed: int | None = None) -> None:
        """A new conversation in one row, with a seed of its own; the others go on."""
        self.state.random[row] = self._random(seed)
        self.state.reset(torch.arange(len(self.state.grid), device=self.device) == row)

    @torch.inference_mode()
    def step(
        self,
        user_codes: Tensor | None = None,
        *,
        text: Text = None,
        audio: Tensor | None = None,
        active: Tensor | None = None,
    ) -> Tensor | None:
        """user_codes int64 [B, n_user] -> int64 [B, 1 + dep_q]: text token and Moshi's codes of one aligned frame.

        A row's frames are complete after its first `max_delay` calls: until then it is all UNGENERATED (-2), and where
        no row is complete the answer is None. Rows where `active`, bool [B], is false stand still and are -2 too.
        `text` [B] or `audio` [B, dep_q] put given tokens in the place of sampled ones, except where they are -2; `text`
        may also be a function of the sampled tokens, int64 [B], whose result comes in their place. In a
        model that predicts both speakers, `user_codes` [B, n_q / 2] may be left out; given, they replace predictions.
        """
        self._check_all(user_codes, text, audio, active)
        state = self.state
        idle = None if active is None or active.all() else ~active.to(self.device)
        if idle is not None and idle.all():
            return None
        with state.standing(idle):
            self._advance(user_codes, text, audio, idle)
        frame, complete = state.grid[self.oldest], state.steps > self.config.max_delay
        if idle is not None:
            complete &= ~idle
        if complete.all():
            return frame
        return frame.masked_fill(~complete[:, None], UNGENERATED) if complete.any() else None

    def _advance(
        self, user_codes: Tensor | None, text: Text, audio: Tensor | None, idle: Tensor | None
    ) -> None:
        state, now, dep_q = self.state, self.config.max_delay, self.config.dep_q
        random = state.random if idle is None else [None if idle[i] else own for i, own in enumerate(state.random)]
        random = random if len(random) > 1 else random[0]
        if user_codes is not None and user_codes.numel():
            state.grid[self.heard] = user_codes
        column = state.grid[:, :, now]
        if min(state.steps.tolist()) <= now:
            column = torch.where(state.steps[:, None] > self.delays, column, self.generator.initial_tokens)
        z = self.generator.context(column[..., None], state.temporal, self.condition)
        state.grid.copy_(F.pad(state.grid[:, :, 1:], (0, 1), value=UNGENERATED))  # time goes on by one column
        if user_codes is not None and not self.config.n_user:
            heard = state.grid[:, 1 : 1 + dep_q, now]  # the second speaker's codes given ahead of their prediction
            audio = _unless_given(audio, heard)
        text = self._text(z, text, random)
        codes = self._codebooks(z[:, 0], text, audio, random)
        state.grid[:, : 1 + dep_q, now] = torch.cat([text[:, None], codes], dim=1)
        state.steps += 1

    def _text(self, z: Tensor, given: Text, random: Random) -> Tensor:
        """Context [B, 1, D] -> the text token of this frame, int64 [B]."""
        options, state = self.sampling, self.state
        logits = self.generator.text_model.head(z)[:, 0]
        if options.pad_bonus:
            logits[:, PAD_ID] += options.pad_bonus
        if state.said.numel():
            logits = penalise(logits, state.said, options.repetition_penalty)
        drawn = sample(logits, options.text_temperature, options.text_top_k, random)
        text = given(drawn) if callable(given) else _unless_given(given, drawn)
        if state.said.numel():
            spoken = (text > EPAD_ID) & (text != PAD_ID) & (text < logits.shape[1])
            later = torch.cat([state.said[:, 1:], text[:, None]], dim=1)
            state.said.copy_(torch.where(spoken[:, None], later, state.said))
        return text

    def _codebooks(self, z: Tensor, text: Tensor, given: Tensor | None, random: Random) -> Tensor:
        """One frame through the depth transformer: context [B, D] and text token [B] -> codes int64 [B, dep_q]."""
        depth, state, token, codes = self.generator.audio_model, self.frame_state, text, []
        if depth is None:
            return text[:, None][:, :0]
        if given is not None and not (given == UNGENERATED).any():
            return given
        state.rewind()
        added = depth.project(z)
        for k in range(self.config.dep_q):
            logits = depth.step(k, added, token, state)
            token = sample(logits, self.sampling.temperature, self.sampling.top_k, random)
            token = _unless_given(None if given is None else given[:, k], token)
            codes.append(token)
        return torch.stack(codes, dim=1)

    def _random(self, seed: int | None) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(int(torch.randint(2**62, ())) if seed is None else seed)

    def _check_all(
        self, user_codes: Tensor | None, text: Text, audio: Tensor | None, active: Tensor | None
    ) -> None:
        config, batch = self.config, len(self.state.grid)
        if config.n_user or user_codes is not None and user_codes.numel():
            _check("user codes", user_codes, [batch, self.n_heard], config.card, ZERO_TOKEN)
        if isinstance(text, Tensor):
            _check("text", text, [batch], config.helium.text_card, UNGENERATED)
        if audio is not None:
            _check("audio", audio, [batch, config.dep_q], config.card, UNGENERATED)
        if active is not None:
            self.check_active(active)

    def check_active(self, active: Tensor) -> None:
        """ValueError unless `active` says of every row whether it moves."""
        if active.shape != (len(self.state.grid),) or active.dtype != torch.bool:
            raise ValueError(
                f"expected for each row whether it moves, bool [{len(self.state.grid)}], "
                f"got {active.dtype} {list(active.shape)}"
            )


def _unless_given(given: Tensor | None, sampled: Tensor) -> Tensor:
    return sampled if given is None else torch.where(given == UNGENERATED, sampled, given)


def _seeds(seed: int | Sequence[int | None] | None, batch_size: int) -> Sequence[int | None]:
    """One seed per row; from a single one the rows count up."""
    if seed is None:
        return [None] * batch_size
    if isinstance(seed, int):
        return [seed + row for row in range(batch_size)]
    if len(seed) != batch_size:
        raise ValueError(f"expected one seed per row, {batch_size} of them, got {len(seed)}")
    return seed


def _check(what: str, tokens: Any, shape: list[int], initial: int, lowest: int) -> None:
    if not isinstance(tokens, Tensor) or list(tokens.shape) != shape or tokens.dtype != torch.int64:
        got = f"{tokens.dtype} {list(tokens.shape)}" if isinstance(tokens, Tensor) else repr(tokens)
        raise ValueError(f"expected the {what} of one frame, int64 {shape}, got {got}")
    if tokens.numel() and (tokens.min() < lowest or tokens.max() > initial):
        raise ValueError(
            f"{what} must lie in 0..{initial - 1} ({ZERO_TOKEN}: none, {initial}: initial), "
            f"got {int(tokens.min())}..{int(tokens.max())}"
        )
