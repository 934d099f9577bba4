"""The phone teacher: what a network that names phones holds just before it names them.

    python -m minimoshi.training.teachers.phones --corpus FOLDER --out FOLDER --seconds 180

trains it on the spoken parts of a corpus, whose phones the synthesiser has timed.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...checkpoint import CONFIG, WEIGHTS, Pretrained
from ...config import Config
from ..speech import Batches
from .interface import check_sound, corpus_batches
from .phone_net import MelColumns, PhoneNet, train_phone_net


@dataclass(frozen=True)
class PhoneTeacherConfig(Config):
    dim: int = 64  # width of the features
    width: int = 128
    layers: int = 5
    kernel: int = 9  # of each layer, in columns of 20 ms


class PhoneTeacher(Pretrained, nn.Module):
    """A `Teacher`: the 80 ms bottleneck of a `PhoneNet`, causal. Also names the phones itself: `logits`."""

    config_class, part = PhoneTeacherConfig, "phones"
    causal = True

    def __init__(self, config: PhoneTeacherConfig):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.columns = MelColumns()
        self.phone_net = PhoneNet(config.dim, config.width, config.layers, config.kernel)

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        check_sound(wav)
        return self.phone_net(self.columns(wav))[1]

    @torch.no_grad()
    def logits(self, wav: Tensor) -> Tensor:
        """[B, 1, S] -> scores of the phones [B, F, P], in the order of `voices.PHONES`."""
        check_sound(wav)
        return self.phone_net(self.columns(wav))[0]

    @classmethod
    def open(cls, place: str | os.PathLike) -> PhoneTeacher:
        """Load the folder that `save_pretrained` wrote (or a file in it), or a decoupled run's teachers.pt."""
        place = Path(place)
        if place.suffix == ".pt":
            return cls._from_run(place)
        folder = place.parent if place.name in (CONFIG, WEIGHTS) else place
        if not folder.is_dir():
            raise FileNotFoundError(f"{place}: expected a folder with {CONFIG} and {WEIGHTS}, or a run's teachers.pt")
        return cls.from_pretrained(folder).requires_grad_(False)

    @classmethod
    def _from_run(cls, path: Path) -> PhoneTeacher:
        content = torch.load(path, weights_only=True)
        if not isinstance(content, dict) or "teacher" not in content:
            raise ValueError(f"{path} holds no teacher; expected the teachers.pt of a decoupled run")
        weights = {k: t for k, t in content["teacher"].items() if k.startswith("phone_net.")}
        if not weights:
            raise ValueError(f"{path} holds no phone network: its run heard with Whisper; use the teacher 'whisper'")
        teacher = cls(PhoneTeacherConfig(dim=len(weights["phone_net.bottleneck.bias"])))
        teacher.load_state_dict(weights)
        return teacher.eval().requires_grad_(False)


def train_phone_teacher(
    batches: Batches,
    seconds: float,
    seed: int = 0,
    steps: int | None = None,
    config: PhoneTeacherConfig | None = None,
) -> tuple[PhoneTeacher, float]:
    """A new teacher, trained for so many seconds (or steps), and its frame accuracy in the last tenth."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        teacher = PhoneTeacher(config or PhoneTeacherConfig())
    accuracy = train_phone_net(teacher, batches, seconds, seed, steps)
    return teacher.eval().requires_grad_(False), accuracy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.training.teachers.phones", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--corpus", required=True, help="folder written by build_part")
    parser.add_argument("--out", required=True, help="folder for the trained teacher")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--steps", type=int, help="train for so many steps instead of --seconds")
    parser.add_argument("--dim", type=int, default=PhoneTeacherConfig.dim)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    batches = corpus_batches(options.corpus, size=16, frames=24)
    config = PhoneTeacherConfig(dim=options.dim)
    teacher, accuracy = train_phone_teacher(batches, options.seconds, options.seed, options.steps, config)
    teacher.save_pretrained(options.out)
    print(f"{options.out}: frame accuracy {accuracy:.3f} on training crops")


if __name__ == "__main__":
    main()
