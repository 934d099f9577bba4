"""What the codec's latents should be, found before the codec is trained.

The paper trains Mimi end to end, its first codebook distilled from WavLM (§3.3.3). On a laptop it pays to
decide first what the tokens mean. `SpeechTeacher` turns 80 ms of sound into two vectors: an acoustic one, the
principal components of how loud each band is in each 20 ms, and a semantic one: what a `Teacher` hears, along the
axes that tell phones apart, or the inside of a small network that was taught to name phones. Residual k-means over many
frames makes the codebooks.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..losses import LogMel
from ..speech import Batches
from .axes import phone_axes
from .interface import FRAME_SIZE, Teacher
from .phone_net import COLUMNS, MelColumns, PhoneNet, patches

BANDS, LOUDNESS = 80, 0.3  # of the acoustic patch: mel bands, and the power that turns magnitude into loudness
PHONE_AXES = 36  # of a teacher's features, at most; those after tell little


class LoudnessColumns(LogMel):
    """[B, 1, S] -> columns of mel magnitude to the power 0.3, 20 ms each, [B, M, 4F]; silence is 0.

    About as loud as each band seems. Tokens that keep this serve the ear better than tokens that keep a logarithm,
    which cares as much for the faint gaps between the partials of a voice as for the partials.
    """

    def __init__(self, frame_size: int = FRAME_SIZE):
        super().__init__(1024, frame_size // COLUMNS, BANDS, low=40.0, high=11_800.0, causal=True)

    def forward(self, wav: Tensor) -> Tensor:
        magnitudes = (super().forward(wav[:, 0]).exp() - self.floor).clamp(min=0)
        return (magnitudes + 1e-6).pow(LOUDNESS) - 1e-6**LOUDNESS

    def magnitudes(self, columns: Tensor) -> Tensor:
        """The way back: loudness [B, M, T] -> mel magnitudes."""
        return columns.clamp(min=0).pow(1 / LOUDNESS)


class SpeechTeacher(nn.Module):
    """Sound [B, 1, S] -> (semantic, acoustic) target latents, each [B, F, d], of unit variance overall.

    listener: the teacher of the semantic latent; None: a phone network of its own (`train_phone_net`), which is causal
    and needs no package. A listener is no part of the weights. plain: nothing is distilled; the semantic latent is the
    acoustic one over again, as if the first codebook were one more for the sound.
    """

    def __init__(
        self, dim: int, frame_size: int = FRAME_SIZE, listener: Teacher | None = None, plain: bool = False
    ):
        super().__init__()
        if plain and listener is not None:
            raise ValueError("a plain teacher distils nothing: give it no listener")
        self.mel, self.loudness = MelColumns(frame_size), LoudnessColumns(frame_size)
        self._listener, self.plain = listener, plain
        self.phone_net = None if plain or listener is not None else PhoneNet(dim)
        self.axes = dim if listener is None else min(dim, PHONE_AXES)
        patch = BANDS * COLUMNS
        heard = patch if plain else dim if listener is None else listener.dim
        self.register_buffer("basis", torch.eye(patch, dim))
        self.register_buffer("mean", torch.zeros(patch))
        self.register_buffer("semantic_basis", torch.eye(heard, dim))
        self.register_buffer("semantic_mean", torch.zeros(heard))
        self.register_buffer("scales", torch.ones(2))  # of the semantic and the acoustic latent

    def columns(self, wav: Tensor) -> Tensor:
        """[B, 1, S] -> log-mel columns [B, M, 4F], so scaled that silence is 0."""
        return self.mel(wav)

    def heard(self, wav: Tensor) -> Tensor:
        """[B, 1, S] -> what the semantic latent is made of, [B, F, D]."""
        if self.plain:
            return patches(self.loudness(wav))
        return self._listener(wav) if self._listener else self.phone_net(self.columns(wav))[1]

    def forward(self, wav: Tensor) -> tuple[Tensor, Tensor]:
        return self.semantic(wav), self.acoustic(wav)

    def semantic(self, wav: Tensor) -> Tensor:
        """[B, 1, S] -> the semantic latent alone, [B, F, d]."""
        return (self.heard(wav) - self.semantic_mean) @ self.semantic_basis / self.scales[0]

    def acoustic(self, wav: Tensor) -> Tensor:
        """[B, 1, S] -> the acoustic latent alone, [B, F, d]."""
        return (patches(self.loudness(wav)) - self.mean) @ self.basis / self.scales[1]

    def to_loudness(self, acoustic: Tensor) -> Tensor:
        """The way back, as far as the principal components go: [B, F, d] -> loudness columns [B, M, 4F]."""
        rebuilt = acoustic * self.scales[1] @ self.basis.T + self.mean
        return rebuilt.unflatten(-1, (COLUMNS, BANDS)).flatten(1, 2).transpose(1, 2)


@torch.no_grad()
def fit_statistics(teacher: SpeechTeacher, batches: Batches, frames: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Set axes, means and scales from so many frames; returns their latents (semantic, acoustic), each [N, d]."""
    parts: list[tuple[Tensor, ...]] = []
    while sum(len(part[0]) for part in parts) < frames:
        wav, phones = batches(np.random.default_rng([seed, len(parts)]), False)
        found = patches(teacher.loudness(wav)), teacher.heard(wav), phones
        parts.append(tuple(one.flatten(0, 1) for one in found))
    sound, features, phones = (torch.cat(part)[:frames] for part in zip(*parts, strict=True))
    teacher.mean.copy_(sound.mean(0))
    centred = sound - teacher.mean
    vectors = torch.linalg.eigh(centred.T @ centred / len(centred))[1]
    teacher.basis.copy_(vectors.flip(1)[:, : teacher.basis.shape[1]])
    acoustic = centred @ teacher.basis
    if teacher.plain:
        teacher.semantic_basis.copy_(teacher.basis)
        teacher.semantic_mean.copy_(teacher.mean)
    elif teacher.phone_net is None:
        axes, mean = phone_axes(features, phones, teacher.axes)
        teacher.semantic_basis.zero_()[:, : teacher.axes] = axes
        teacher.semantic_mean.copy_(mean)
    else:
        teacher.semantic_mean.copy_(features.mean(0))
    semantic = (features - teacher.semantic_mean) @ teacher.semantic_basis
    teacher.scales.copy_(torch.stack([semantic[:, : teacher.axes].std(), acoustic.std()]))
    return semantic / teacher.scales[0], acoustic / teacher.scales[1]
