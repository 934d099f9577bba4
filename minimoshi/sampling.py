"""Drawing a token from logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Random = torch.Generator | list[torch.Generator | None] | None  # one for all rows, or one for each


@dataclass(frozen=True)
class Sampling:
    """How a conversation draws its tokens. The defaults are those of the official model."""

    temperature: float = 0.8  # of the audio tokens; 0 is greedy
    top_k: int | None = 250  # only this many of the likeliest audio tokens; None: all
    text_temperature: float = 0.7
    text_top_k: int | None = 25
    pad_bonus: float = 0.0  # added to the logit of PAD, "no word here": above 0 Moshi says less, below 0 more
    repetition_penalty: float = 1.0  # text tokens said lately lose by this factor; 1: off
    repetition_context: int = 64  # how many text tokens "lately" is, silent ones not counted

    def __post_init__(self) -> None:
        if min(self.temperature, self.text_temperature) < 0:
            raise ValueError(
                f"temperatures must be 0 (greedy) or positive, got {self.temperature} and {self.text_temperature} "
                "for text"
            )
        if not math.isfinite(self.pad_bonus):
            raise ValueError(f"pad_bonus must be a finite number, got {self.pad_bonus}")
        if not 1 <= self.repetition_penalty < math.inf or self.repetition_context < 0:
            raise ValueError(
                "repetition_penalty must be 1 (off) or more and repetition_context 0 tokens or more, "
                f"got {self.repetition_penalty} and {self.repetition_context}"
            )


def sample(logits: Tensor, temperature: float = 1.0, top_k: int | None = None, generator: Random = None) -> Tensor:
    """Logits [..., V] -> int64 [...]. Temperature 0 takes the most likely token; top_k keeps only that many.

    A list of generators, one per row of logits [B, ..., V], makes the rows' draws independent of one another; where it
    holds None nothing is drawn and the row's most likely token is taken.
    """
    if temperature < 0:
        raise ValueError(f"temperature must be 0 (greedy) or positive, got {temperature}")
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float()
    kept = None
    if top_k is not None and 0 < top_k < logits.shape[-1]:
        logits, kept = logits.topk(top_k, dim=-1, sorted=False)
    chances = torch.softmax(logits / temperature, dim=-1)
    # dividing by exponential noise and taking the largest draws each token with its chance, without building a table
    drawn = (chances / _noise(chances, generator)).argmax(-1, keepdim=True)
    return (drawn if kept is None else kept.gather(-1, drawn))[..., 0]


def _noise(chances: Tensor, generator: Random) -> Tensor:
    noise = torch.empty_like(chances)
    if not isinstance(generator, list):
        return noise.exponential_(generator=generator)
    for row, own in zip(noise, generator, strict=True):
        row.fill_(1) if own is None else row.exponential_(generator=own)
    return noise


def penalise(logits: Tensor, said: Tensor, penalty: float) -> Tensor:
    """Make tokens less likely: in logits [B, V], those named in int64 `said` [B, N], where 0 names none.

    Positive logits are divided by the penalty, negative ones multiplied, each once however often it is named.
    """
    values = logits.gather(1, said)
    lowered = torch.where(values > 0, values / penalty, values * penalty)
    return logits.scatter(1, said, torch.where(said == 0, values, lowered))
