"""How well do a teacher's features tell phones apart? A table, one teacher a row.

    python -m minimoshi.training.teachers.compare --corpus FOLDER

fits a linear probe on the features of speech from the corpus, and lets it name the phone of every frame of sentences
that were held out, in Moshi's voice and in the voices of a crowd. Mel patches and cepstra, which learnt nothing, show
what the others add. Teachers that have to be trained are trained first and kept in --out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...checkpoint import CONFIG
from ...config import SAMPLE_RATE
from ...data.voices import PHONES
from ..speech import Batches
from .interface import FRAME_SIZE, corpus_batches, open_teacher
from .phone_net import BANDS, COLUMNS, MelColumns, patches
from .phones import train_phone_teacher
from .selfsupervised import Cepstrum, train_selfsupervised

Voices = dict[str, tuple[Tensor, Tensor]]  # name -> sound [N, 1, S], phones [N, F]


class Untaught:
    """Features without any learning, in the shape of a `Teacher`: all columns of a frame side by side."""

    causal = False

    def __init__(self, columns: Callable[[Tensor], Tensor], width: int):
        self._columns, self.dim = columns, width * COLUMNS

    def __call__(self, wav: Tensor) -> Tensor:
        return patches(self._columns(wav))


def open_features(spec: str):
    """ "mel", "mfcc", or a teacher's short name (`open_teacher`)."""
    if spec == "mel":
        return Untaught(MelColumns(causal=False), BANDS)
    if spec == "mfcc":
        cepstrum = Cepstrum()
        return Untaught(lambda wav: cepstrum(wav).transpose(1, 2), 3 * cepstrum.COEFFICIENTS)
    return open_teacher(spec)


class LinearProbe:
    """Multinomial logistic regression from features [N, D] to labels int64 [N]; labels below 0 are left out."""

    def __init__(self, features: Tensor, labels: Tensor, classes: int, decay: float = 1e-4, iterations: int = 80):
        known = labels >= 0
        if not known.any():
            raise ValueError("a probe needs labelled frames: none of the labels is known")
        features, labels = features[known], labels[known]
        self.mean, self.std = features.mean(0), features.std(0).clamp(min=1e-5)
        x = (features - self.mean) / self.std
        self.weight = torch.zeros(x.shape[1], classes, requires_grad=True)
        self.bias = torch.zeros(classes, requires_grad=True)
        optimizer = torch.optim.LBFGS([self.weight, self.bias], max_iter=iterations, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(x @ self.weight + self.bias, labels) + decay * self.weight.square().sum()
            value.backward()
            return value

        optimizer.step(loss)

    @torch.no_grad()
    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        known = labels >= 0
        scores = (features[known] - self.mean) / self.std @ self.weight + self.bias
        return float((scores.argmax(-1) == labels[known]).float().mean())


@dataclass(frozen=True)
class Row:
    """One teacher: frame accuracy of the phone probe by voice, and milliseconds of computing a second of sound."""

    name: str
    dim: int
    causal: bool
    accuracy: dict[str, float]
    milliseconds: float


def draw_crops(batches: Batches, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` batches of labelled speech: sound [N, 1, S] and phones [N, F]."""
    drawn = [batches(np.random.default_rng([seed, step]), True) for step in range(count)]
    wav, phones = zip(*drawn, strict=True)
    return torch.cat(wav), torch.cat(phones)


@torch.no_grad()
def features_of(teacher, wav: Tensor, size: int = 16) -> tuple[Tensor, float]:
    """Features of all frames [N · F, dim], and milliseconds of processor time a second of sound."""
    begin = time.process_time()
    features = torch.cat([teacher(part) for part in wav.split(size)]).flatten(0, 1)
    seconds = wav.shape[0] * wav.shape[-1] / SAMPLE_RATE
    return features, 1000 * (time.process_time() - begin) / seconds


def compare(specs: Sequence[str], train: tuple[Tensor, Tensor], test: Voices) -> list[Row]:
    """Probe every teacher: fitted on `train` (sound [N, 1, S], phones [N, F]), scored on each voice of `test`."""
    rows = []
    for spec in specs:
        teacher = open_features(spec)
        known, milliseconds = features_of(teacher, train[0])
        probe = LinearProbe(known, train[1].flatten(), len(PHONES))
        accuracy = {}
        for voice, (wav, phones) in test.items():
            accuracy[voice] = probe.accuracy(features_of(teacher, wav)[0], phones.flatten())
        rows.append(Row(spec, teacher.dim, teacher.causal, accuracy, milliseconds))
    return rows


def table(rows: Sequence[Row], labels: dict[str, str] | None = None) -> str:
    """The rows as a Markdown table; labels: what to write instead of a spec."""
    voices = list(rows[0].accuracy)
    lines = ["| teacher | features | hears the future | " + " | ".join(voices) + " | ms a second |"]
    lines.append("|---|---:|---|" + "---:|" * (len(voices) + 1))
    for row in rows:
        shares = " | ".join(f"{row.accuracy[voice]:.3f}" for voice in voices)
        name = (labels or {}).get(row.name, row.name)
        future = "no" if row.causal else "yes"
        lines.append(f"| {name} | {row.dim} | {future} | {shares} | {row.milliseconds:.0f} |")
    return "\n".join(lines)


def trained_teachers(corpus: Path, parts: list[str], out: Path, phone_steps: int, steps: int) -> dict[str, str]:
    """Train what is not in `out` yet; returns label -> spec."""
    phones, selfsupervised = out / "phones", out / "selfsupervised"
    if not (phones / CONFIG).exists():
        teacher, _ = train_phone_teacher(corpus_batches(corpus, 16, 24, parts), 0, steps=phone_steps)
        teacher.save_pretrained(phones)
    if not (selfsupervised / CONFIG).exists():
        train_selfsupervised(corpus_batches(corpus, 8, 32, parts), steps=steps, folder=selfsupervised)
    return {
        "self-supervised, round 1": f"selfsupervised:{selfsupervised / 'round1'}",
        "self-supervised, round 2": f"selfsupervised:{selfsupervised}",
        "phone network": f"phones:{phones}",
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.training.teachers.compare", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--corpus", type=Path, required=True, help="folder written by build_part, to fit the probes on")
    parser.add_argument("--heldout", type=Path, help="the same voices, other sentences; default CORPUS/../heldout")
    parser.add_argument("--out", type=Path, help="folder of the trained teachers; default CORPUS/../teachers")
    parser.add_argument("--voices", nargs="+", default=["heart", "crowd"], help="parts of the corpus")
    parser.add_argument("--phone-steps", type=int, default=600, help="to train a phone network that is missing")
    parser.add_argument("--steps", type=int, default=500, help="of each round, to train a missing self-supervised one")
    parser.add_argument("teachers", nargs="*", help="short names of further teachers, for example wavlm:FOLDER")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    heldout = options.heldout or options.corpus.parent / "heldout"
    voices, frames = options.voices, 32
    train = draw_crops(corpus_batches(options.corpus, 16, frames, voices, augment=False), 20, seed=0)
    test = {v: draw_crops(corpus_batches(heldout, 16, frames, [v], augment=False), 5, seed=1) for v in voices}
    taught = trained_teachers(
        options.corpus, voices, options.out or options.corpus.parent / "teachers", options.phone_steps, options.steps
    )
    named = {"mel patch": "mel", "cepstrum (MFCC)": "mfcc"} | taught | {"Whisper tiny.en": "whisper"}
    named |= {spec: spec for spec in options.teachers}
    rows, missing = [], []
    for spec in named.values():
        try:
            rows += compare([spec], train, test)
        except ImportError as error:
            missing.append(str(error))
    print(table(rows, {spec: label for label, spec in named.items()}))
    commonest = {v: float(phones.flatten().bincount().max() / phones.numel()) for v, (_, phones) in test.items()}
    shares = ", ".join(f"{voice} {share:.3f}" for voice, share in commonest.items())
    minutes = train[1].numel() * FRAME_SIZE / SAMPLE_RATE / 60
    print(f"\nFrame accuracy over {len(PHONES)} phones; always naming the commonest: {shares}.")
    print(f"Probe fitted on {minutes:.0f} minutes of the corpus, scored on sentences held out.")
    print("\n".join(missing))


if __name__ == "__main__":
    main()
