"""What the tokens of each level know: which phone sounds, who speaks, and whether two phones can be told apart.

All three look at tokens only, frame by frame, on clips that the probe has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.corpus import frame_labels
from ..data.voices import PHONES, SILENCE

FOLDS = 5
_SILENCE = PHONES.index(SILENCE)


def phone_labels(phones: list, frames: int, late: float = 0.0) -> np.ndarray:
    """int64 [F]: the phone `late` seconds before each frame; -100 in silence and where nothing is known."""
    labels = frame_labels(phones, -late, 1.0, frames)
    return np.where(labels == _SILENCE, -100, labels)


def table_probe(codes: Sequence[np.ndarray], labels: Sequence[np.ndarray], size: int) -> dict[str, float]:
    """How often the commonest label of a token, counted on other clips, is the label of a frame.

    codes, labels: one int array [F] per clip, labels below 0 are left out. Five-fold: every clip is tested once, by a
    table made of the other four fifths. A token the table has not seen gets the commonest label of all. Returns the
    accuracy, and as `chance` that of saying the commonest label always.
    """
    if len(codes) < FOLDS:
        raise ValueError(f"a probe in {FOLDS} folds needs at least {FOLDS} clips, got {len(codes)}")
    known = [wanted >= 0 for wanted in labels]
    codes = [level[k] for level, k in zip(codes, known, strict=True)]
    labels = [wanted[k] for wanted, k in zip(labels, known, strict=True)]
    classes = 1 + max((int(wanted.max()) for wanted in labels if len(wanted)), default=0)
    right = common = total = 0
    for fold in range(FOLDS):
        counts = np.zeros((size, classes), np.int64)
        for i, (level, wanted) in enumerate(zip(codes, labels, strict=True)):
            if i % FOLDS != fold:
                np.add.at(counts, (level, wanted), 1)
        commonest = counts.sum(0).argmax()
        table = np.where(counts.any(1), counts.argmax(1), commonest)
        for level, wanted in zip(codes[fold::FOLDS], labels[fold::FOLDS], strict=True):
            right += int((table[level] == wanted).sum())
            common += int((wanted == commonest).sum())
            total += len(wanted)
    return {"accuracy": right / max(1, total), "chance": common / max(1, total)}


def abx(
    vectors: Sequence[np.ndarray], labels: Sequence[np.ndarray], speakers: Sequence[str], triples: int = 20_000
) -> float:
    """Share of triples in which a phone is nearer to another phone than to itself; 0.5 is guessing, 0 is perfect.

    A and X are frames of one phone in two clips, B is a frame of another phone, all three of one speaker; near means
    by cosine, and a tie is half an error. vectors: float [F, D] per clip; labels: int [F], those below 0 are left out.
    A frame-wise, context-free cousin of the ABX test of the paper's table 3: compare only with itself.
    """
    pool = _Frames(vectors, labels, speakers)
    rng = np.random.default_rng(0)
    errors = count = 0.0
    for speaker in np.unique(pool.speaker):
        own = np.flatnonzero(pool.speaker == speaker)
        wanted = round(triples * len(own) / len(pool.speaker))
        a, b, x = (rng.choice(own, 40 * wanted) for _ in range(3))
        fits = (pool.label[a] == pool.label[x]) & (pool.label[b] != pool.label[x]) & (pool.clip[a] != pool.clip[x])
        a, b, x = (side[fits][:wanted] for side in (a, b, x))
        same, other = ((pool.vector[side] * pool.vector[x]).sum(1) for side in (a, b))
        errors += (other > same + 1e-6).sum() + 0.5 * (np.abs(other - same) <= 1e-6).sum()
        count += len(x)
    if not count:
        raise ValueError("no speaker says a phone in two clips: the ABX test needs more clips with phone times")
    return float(errors / count)


class _Frames:
    """All labelled frames in one row: unit vectors [N, D], and whose they are."""

    def __init__(self, vectors: Sequence[np.ndarray], labels: Sequence[np.ndarray], speakers: Sequence[str]):
        known = [wanted >= 0 for wanted in labels]
        self.vector = np.concatenate([v[k] for v, k in zip(vectors, known, strict=True)])
        self.vector = self.vector / np.maximum(1e-9, np.linalg.norm(self.vector, axis=1, keepdims=True))
        self.label = np.concatenate([wanted[k] for wanted, k in zip(labels, known, strict=True)])
        names = sorted(set(speakers))
        self.clip = np.repeat(np.arange(len(known)), [k.sum() for k in known])
        self.speaker = np.array([names.index(s) for s in speakers])[self.clip]
