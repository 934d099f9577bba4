"""HierarchicalGenerator: the temporal transformer over frames, the depth transformer inside each frame (paper §3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint import Pretrained
from ..config import MOSHI_DELAYS, MoshiConfig
from ..nn import TransformerState
from ..nn.embedding import TokenEmbedding, init_truncated
from ..sampling import Sampling
from ..text import HeliumModel
from .depth import DepthTransformer
from .grid import ZERO_TOKEN, delay, undelay
from .stream import GeneratorStream


@dataclass
class GeneratorOutput:
    """Logits aligned with the codes they predict. Where a mask is False there is nothing to predict (logits 0)."""

    text_logits: Tensor  # [B, 1, T, V]
    audio_logits: Tensor  # [B, dep_q, T, card]
    text_mask: Tensor  # bool [B, 1, T]
    audio_mask: Tensor  # bool [B, dep_q, T]


class HierarchicalGenerator(Pretrained, nn.Module):
    """The token model, from a MoshiConfig, or from a Helium (`text_model`) and a depth transformer (`audio_model`).

    >>> out = generator(codes)                       # training: int64 [B, K, T], text, Moshi, user
    >>> stream = generator.stream(temperature=0.8)   # generation: one frame of user codes at a time
    >>> frame = stream.step(user_codes)
    """

    config_class = MoshiConfig
    part = "generator"

    def __init__(
        self,
        config: MoshiConfig | None = None,
        *,
        text_model: HeliumModel | None = None,
        audio_model: DepthTransformer | None = None,
    ):
        super().__init__()
        if text_model is not None or audio_model is not None:
            config = _config_of(config, text_model, audio_model)
        self.config = config = config or MoshiConfig.preset("tiny")
        self.text_model = text_model or HeliumModel(config.helium)
        self.audio_model = audio_model or (DepthTransformer(config.depth) if config.depth else None)
        self.audio_embedding = TokenEmbedding(config.n_q, config.card + 1, config.helium.dim)
        self.extra_heads = nn.ModuleList(
            nn.Linear(config.helium.dim, config.extra_heads_dim, bias=False) for _ in range(config.extra_heads)
        )
        self.condition = Condition(config) if config.condition_bins else None
        self.trained = True
        self.sampling = Sampling()  # how it draws unless told otherwise
        initial = [self.text_model.initial_id] + [config.card] * config.n_q
        self.register_buffer("initial_tokens", torch.tensor(initial), persistent=False)

    def initial_state(self, batch_size: int = 1) -> TransformerState:
        """The memory of the temporal transformer; the depth transformer forgets after every frame."""
        return self.text_model.initial_state(batch_size)

    def forward(self, codes: Tensor, condition: int | None = None) -> GeneratorOutput:
        """Time-aligned codes int64 [B, 1 + n_q, T] (text, Moshi, user) -> logits for text and Moshi's codebooks.

        Delays are applied inside. -1 stands for a missing token: it adds nothing and is masked out.
        """
        self._check_codes(codes)
        inputs, delayed = self.shifted(codes)
        z = self.context(inputs, condition=condition)
        dep_q = self.config.dep_q
        text_logits, text_mask = undelay(self.text_model.head(z)[:, None], self.config.delays[:1])
        if self.audio_model is None:
            audio_logits = z.new_zeros(codes.shape[0], 0, codes.shape[2], self.config.card)
        else:
            audio_logits = self.audio_model(z, delayed[:, 0], delayed[:, 1 : 1 + dep_q])
        audio_logits, audio_mask = undelay(audio_logits, self.config.delays[1 : 1 + dep_q])
        given = codes != ZERO_TOKEN
        return GeneratorOutput(
            text_logits, audio_logits, text_mask & given[:, :1], audio_mask & given[:, 1 : 1 + dep_q]
        )

    def shifted(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Time-aligned codes -> (inputs, delayed grid), both [B, K, T]: column t is predicted from those before it."""
        delayed = delay(codes, self.config.delays, self.initial_tokens)
        first = self.initial_tokens[None, :, None].expand(codes.shape[0], -1, 1)
        return torch.cat([first, delayed[:, :, :-1]], dim=2), delayed

    def context(self, inputs: Tensor, state: TransformerState | None = None, condition: int | None = None) -> Tensor:
        """The temporal transformer: delayed grid int64 [B, K, T] -> z [B, T, D]."""
        x = self.text_model.embed(inputs[:, 0]) + self.audio_embedding(inputs[:, 1:]).sum(1)
        if self.condition is not None:
            x = x + self.condition(condition)
        return self.text_model.hidden(x, state)

    def stream(
        self,
        batch_size: int = 1,
        *,
        seed: int | Sequence[int | None] | None = None,
        condition: int | None = None,
        **sampling: Any,
    ) -> GeneratorStream:
        """A conversation in progress: `step(user_codes)` once per frame.

        `sampling`: temperature, top_k and the other fields of `Sampling` (what is not given is as in
        `self.sampling`, which a trained model brings along); temperature 0 is greedy. Each row draws from
        its own random numbers: a list holds its seed, from a single seed the rows count up.
        """
        return GeneratorStream(self, batch_size, replace(self.sampling, **sampling), seed, condition)

    def _check_codes(self, codes: Tensor) -> None:
        streams = self.config.n_q + 1
        if codes.dim() != 3 or codes.shape[1] != streams or codes.shape[2] == 0:
            raise ValueError(
                f"expected codes of shape [B, {streams}, T] (text, Moshi's {self.config.dep_q}, the user's "
                f"{self.config.n_user}), got {list(codes.shape)}"
            )
        if codes.dtype != torch.int64:
            raise ValueError(f"expected int64 codes, got {codes.dtype}")
        if (
            codes.min() < ZERO_TOKEN
            or codes[:, 0].max() > self.text_model.initial_id
            or codes[:, 1:].max() > self.config.card
        ):
            raise ValueError(
                f"codes must lie in {ZERO_TOKEN}..{self.text_model.initial_id} for text and "
                f"{ZERO_TOKEN}..{self.config.card} for audio, got text {_range(codes[:, 0])}, "
                f"audio {_range(codes[:, 1:])}"
            )

    def _notes(self) -> dict[str, Any]:
        notes: dict[str, Any] = {} if self.trained else {"trained": False}
        return notes if self.sampling == Sampling() else notes | {"sampling": asdict(self.sampling)}

    def read_notes(self, card: dict[str, Any]) -> None:
        """What config.json says beside the numbers: whether the model is trained, and how it is best sampled."""
        self.trained, usual = card.get("trained", True), card.get("sampling", {})
        try:
            self.sampling = Sampling(**usual)
        except TypeError as error:
            raise ValueError(f'"sampling" in config.json holds the fields of Sampling, got {usual}: {error}') from None

    def _load(self, folder: Path, card: dict[str, Any]) -> None:
        self.read_notes(card)
        if "seed" not in card:
            super()._load(folder, card)
            return
        # shipped untrained: the random start is made again from its seed rather than stored
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(card["seed"])
            self.load_state_dict(type(self)(self.config).state_dict())


class Condition(nn.Module):
    """A learnt vector, chosen by an index and added to every input (the quality label of the official Hibiki)."""

    def __init__(self, config: MoshiConfig):
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(config.condition_bins + 1, config.condition_dim))
        self.output_proj = nn.Linear(config.condition_dim, config.helium.dim, bias=False)
        self.padding = nn.Parameter(torch.zeros(config.helium.dim))
        init_truncated(self.embedding, config.condition_dim)

    def forward(self, index: int | None) -> Tensor:
        """[D]: the vector of condition `index`, or the learnt "not said"."""
        return self.padding if index is None else self.output_proj(self.embedding[index])


def _range(values: Tensor) -> str:
    return f"{int(values.min())}..{int(values.max())}" if values.numel() else "none"


def _config_of(config: MoshiConfig | None, text_model: Any, audio_model: Any) -> MoshiConfig:
    """The MoshiConfig that two given parts amount to."""
    if not isinstance(text_model, HeliumModel) or not isinstance(audio_model, DepthTransformer):
        raise ValueError(
            "give both parts: text_model, a HeliumModel, and audio_model, a DepthTransformer (the codec belongs to "
            f"FullDuplexDialogueModel); got {type(text_model).__name__} and {type(audio_model).__name__}"
        )
    if config is not None:
        return config.replace(helium=text_model.config, depth=audio_model.config, card=audio_model.config.card)
    dep_q = audio_model.config.dep_q
    delays = MOSHI_DELAYS if dep_q == 8 else (0, *(0, *[1] * (dep_q - 1)) * 2)
    return MoshiConfig(
        helium=text_model.config, depth=audio_model.config, n_q=2 * dep_q, card=audio_model.config.card, delays=delays
    )
