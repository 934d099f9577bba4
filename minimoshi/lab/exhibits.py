"""What makes the functions of the museum sound, right or wrong: small machines that take the suspect as an argument."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from ..moshi import HierarchicalGenerator
from ..moshi.grid import delay, undelay
from ..nn import attention
from ..training.codebooks import nearest
from .figures import WIDTH, show
from .plots import spectrogram
from .sound import play

CARD, LEVELS = 512, 8
FRAME = 1920


def side_by_side(sounds: dict[str, Tensor], top_hz: float = 8_000) -> Figure:
    """Spectrograms of {title: wav [S]} at 24 kHz, beside each other and to one scale."""
    figure, panels = plt.subplots(1, len(sounds), figsize=(WIDTH, 1.8), sharey=True)
    loudest = max(sounds.values(), key=lambda wav: float(wav.abs().max()))
    for axes, (title, wav) in zip(panels, sounds.items(), strict=True):
        spectrogram(axes, wav, 24_000, top_hz=top_hz, beside=loudest)
        axes.set(title=title, ylabel="kHz" if axes is panels[0] else "")
    return figure


def hear(healthy: Tensor, broken: Tensor, *, words: str, heard: str, alt: str, top_hz: float = 8_000) -> None:
    """Both sounds [S], pictured side by side, each with what is said in it (`heard`: in the broken one)."""
    show(side_by_side({"healthy": healthy, "broken": broken}, top_hz), alt)
    play(healthy, title="Healthy", transcript=words, picture=False, compact=True)
    play(broken, title="Broken", transcript=heard, picture=False, compact=True)


def loudness(wav: Tensor) -> Tensor:
    """[S] -> root mean square of every frame of 80 ms [T]."""
    return wav[: len(wav) // FRAME * FRAME].view(-1, FRAME).square().mean(1).sqrt()


# ------------------------------------------------------------------------------------- a network that learns by heart


def causal_window(frames: int, context: int) -> Tensor:
    """bool [T, T]: a step sees itself and the context - 1 before."""
    age = torch.arange(frames)[:, None] - torch.arange(frames)[None]
    return (age >= 0) & (age < context)


class Parrot(nn.Module):
    """Predicts the next frame of codes from those that `may_look(frames, context)` shows. int64 [8, T] -> [T, 8, V].

    Each head learns how far back to look, and nothing else, so that it is learnt in seconds.
    """

    def __init__(self, may_look: Callable[[int, int], Tensor], context: int = 8, dim: int = 64, heads: int = 4):
        super().__init__()
        self.may_look, self.context = may_look, context
        self.table = nn.Embedding(LEVELS * CARD, dim)
        self.reach = nn.Parameter(0.5 * torch.randn(heads, 2 * context - 1))
        self.think = nn.Sequential(nn.Linear(heads * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, LEVELS * CARD))

    def forward(self, codes: Tensor) -> Tensor:
        step, far = torch.arange(codes.shape[1]), self.context - 1
        x = self.table(codes + CARD * torch.arange(LEVELS)[:, None]).sum(0) / LEVELS**0.5  # [T, D]
        age = (step[:, None] - step[None]).clamp(-far, far)
        hidden = ~self.may_look(len(step), self.context)
        share = self.reach[:, age + far].masked_fill(hidden, -torch.inf).softmax(-1)  # [H, T, T]
        return self.think((share @ x).transpose(0, 1).flatten(1)).view(-1, LEVELS, CARD)


def by_heart(
    may_look: Callable[[int, int], Tensor], codes: Tensor, steps: int = 80, given: int = 4
) -> tuple[list[float], Tensor, Parrot]:
    """Learn one sentence [8, T] by heart, then say it from its first `given` frames: losses, codes [8, T], network.

    In training a quarter of the frames are some other frame of the sentence, so that nothing can be read off one alone.
    """
    torch.manual_seed(0)
    frames = codes.shape[1]
    parrot, losses = Parrot(may_look), []
    optimizer = torch.optim.Adam(parrot.parameters(), 8e-3)
    for _ in range(steps):
        other = codes[:, torch.randint(frames, (frames,))]
        heard = torch.where(torch.rand(frames) < 0.25, other, codes)
        loss = F.cross_entropy(parrot(heard[:, :-1]).flatten(0, 1), heard[:, 1:].T.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    said = codes[:, :given]
    with torch.no_grad():
        while said.shape[1] < frames:
            said = torch.cat([said, parrot(said)[-1].argmax(-1)[:, None]], dim=1)
    return losses, said, parrot


# ---------------------------------------------------------------------------------------------------- codebooks


def rescue(total: Tensor, usage: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Dead codes on points of the batch, with an even share of usage to live on. total [V, d], usage [V]."""
    dead, even = usage < 0.1 * usage.mean(), usage.mean()
    places = batch[torch.randint(len(batch), (int(dead.sum()),))]
    total, usage = total.clone(), usage.clone()
    total[dead], usage[dead] = even * places, even
    return total, usage


def learn_codebook(points: Tensor, revive: Callable, size: int = 256, steps: int = 60, decay: float = 0.9) -> Tensor:
    """Codes [V, d] for points [N, d], learnt by running averages from random numbers; the dead are left to `revive`."""
    torch.manual_seed(0)
    codes = 2 * points.std() * torch.randn(size, points.shape[1])
    usage, total = torch.ones(size), codes.clone()
    for step in range(steps):
        batch = points[torch.randperm(len(points))[:256]]
        who = F.one_hot(nearest(batch, codes), size).float()
        usage = decay * usage + (1 - decay) * who.sum(0)
        total = decay * total + (1 - decay) * who.T @ batch
        if step % 5 == 4:
            total, usage = revive(total, usage, batch)
        codes = total / usage[:, None]
    return codes


# --------------------------------------------------------------------------------------------------------- losses


def weighted_loss(losses: Tensor, semantic_weight: float) -> Tensor:
    """Losses [9], text first -> weighted mean of the eight audio rows."""
    return (semantic_weight * losses[1] + losses[2:].sum()) / (semantic_weight + len(losses) - 2)


def race(audio_loss: Callable, semantic_weight: float, seed: int = 0, steps: int = 60) -> Tensor:
    """Loss of each of eight codes [8, steps] while a network too narrow for all of them learns them."""
    torch.manual_seed(seed)
    states, width, card = 48, 6, 16
    codes = torch.randint(card, (states, LEVELS))
    narrow = nn.Sequential(nn.Embedding(states, width), nn.Linear(width, LEVELS * card))
    optimizer, curves = torch.optim.Adam(narrow.parameters(), 3e-2), []
    for _ in range(steps):
        logits = narrow(torch.arange(states)).view(-1, card)
        losses = F.cross_entropy(logits, codes.flatten(), reduction="none").view(states, LEVELS).mean(0)
        optimizer.zero_grad()
        audio_loss(torch.cat([torch.ones(1), losses]), semantic_weight).backward()
        optimizer.step()
        curves.append(losses.detach())
    return torch.stack(curves, dim=1)


# ------------------------------------------------------------------------------------------------- Moshi, by hand


def last_column(z: Tensor, lengths: Tensor) -> Tensor:
    return z[torch.arange(len(z)), lengths - 1]


@torch.no_grad()
def say(
    generator: HierarchicalGenerator,
    text: Tensor,
    user: Tensor,
    newest: Callable[[Tensor, Tensor], Tensor] = last_column,
    room: int = 0,
    temperature: float = 0.6,
    seed: int = 0,
) -> Tensor:
    """Moshi's voice for a given text row [T], the user's codes [8] the same in every frame -> codes [8, T].

    The slow way, for all to see: every step reads the whole grid again. `newest(z, lengths)` picks the context from
    which the next column is drawn. `room`: columns of padding behind the conversation, as in a batch with a longer one.
    """
    config, depth = generator.config, generator.audio_model
    frames, chance = len(text) + config.max_delay, torch.Generator().manual_seed(seed)
    text = F.pad(text, (0, config.max_delay), value=3)
    grid = torch.full((1, config.n_q + 1, frames + 1 + room), -1)
    grid[:, :, 0] = generator.initial_tokens
    heard = user[None, :, None].expand(1, -1, frames)
    heard = delay(heard, config.delays[1 + config.dep_q :], generator.initial_tokens[1 + config.dep_q :])
    state = depth.initial_state()
    for t in range(frames):
        z = generator.context(grid[:, :, : t + 1 + room])
        added, token = depth.project(newest(z, torch.tensor([t + 1]))), text[t : t + 1]
        state.rewind()
        grid[:, :, t + 1] = generator.initial_tokens
        grid[0, 0, t + 1] = token
        for k in range(config.dep_q):
            chances = (depth.step(k, added, token, state) / temperature).softmax(-1)
            token = torch.multinomial(chances, 1, generator=chance)[:, 0]
            if t >= config.delays[1 + k]:  # before that its row has not begun
                grid[0, 1 + k, t + 1] = token
        grid[:, 1 + config.dep_q :, t + 1] = heard[:, :, t]
    said, known = undelay(grid[:, 1 : 1 + config.dep_q, 1 : frames + 1], config.delays[1 : 1 + config.dep_q])
    return said[0, :, known[0].all(0)]


@contextlib.contextmanager
def rotation(turn_pairs: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    """Within `with rotation(turn_pairs):` all attention turns queries and keys by this function."""

    def rotate(x: Tensor, turns: Tensor) -> Tensor:  # x [B, T, ..., D], turns complex [B, T, D/2]
        angles = turns.angle().reshape(*turns.shape[:2], *[1] * (x.dim() - 3), turns.shape[-1])
        return turn_pairs(x.float(), angles).type_as(x)

    usual = attention.rotate
    attention.rotate = rotate
    try:
        yield
    finally:
        attention.rotate = usual
