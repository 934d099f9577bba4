"""Which directions of a teacher's features tell phones apart, whoever speaks: linear discriminant analysis.

A recogniser's features hold the speaker, the pitch and the noise beside the phones, and k-means would spend its codes
on whatever varies most. Seen along these axes every phone is a cloud of the same size, and the clouds lie as far apart
as they can: the nearest centroid is then the likeliest sound of speech.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...data.voices import PHONES

_RIDGE = 3e-3  # of the mean variance within a phone, added to every direction


def phone_axes(features: Tensor, phones: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Features [N, D] of frames and their phones int64 [N] (negative: unknown) -> (axes [D, dim], mean [D]).

    `(features - mean) @ axes` has the direction that separates phones best first. A phone weighs as the root of its
    frames, so that silence does not decide. ValueError if no phone is known, or for more axes than phones can span.
    """
    if not 1 <= dim < len(PHONES):
        raise ValueError(f"dim={dim}: {len(PHONES)} phones span 1 to {len(PHONES) - 1} axes")
    known = phones >= 0
    if not known.any():
        raise ValueError("no frame has a known phone: give speech of voices that time their phones")
    x, y = features[known].double(), phones[known]
    weights = torch.bincount(y, minlength=len(PHONES)).clamp(min=1).double().rsqrt()[y]
    weights = (weights / weights.sum())[:, None]
    mean = (weights * x).sum(0)
    x = x - mean
    shares = torch.zeros(len(PHONES), 1, dtype=x.dtype).index_add_(0, y, weights)
    means = torch.zeros(len(PHONES), x.shape[1], dtype=x.dtype).index_add_(0, y, weights * x) / shares.clamp(min=1e-12)
    inside = x - means[y]
    within = (weights * inside).T @ inside
    within += _RIDGE * within.diagonal().mean() * torch.eye(len(within), dtype=x.dtype)
    between = (shares * means).T @ means
    whiten = torch.linalg.inv(torch.linalg.cholesky(within))
    directions = torch.linalg.eigh(whiten @ between @ whiten.T)[1].flip(1)[:, :dim]
    return (whiten.T @ directions).to(features), mean.to(features)
