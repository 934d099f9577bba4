"""One loop for every training: it counts, logs, shows, saves, and after a kill it goes on as if nothing had happened.

A stage brings a function that makes one step and the parts that change on the way (model, optimisers, averages). All
chance in a step must come from `step_seed`, so that step 1234 is the same whether or not the run was interrupted.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..config import SAMPLE_RATE


class Stateful(Protocol):
    """A model, an optimiser, a balancer: anything that can be saved and set back."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> Any: ...


def step_seed(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """Fresh random numbers of one step, for NumPy and for torch."""
    sequence = np.random.SeedSequence([seed, step])
    return np.random.default_rng(sequence), torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


class RunFolder:
    """Where a run keeps its checkpoints (NAME.pt), its log (NAME.log, one JSON object a line) and its samples."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder)
        self.path.mkdir(parents=True, exist_ok=True)

    def has(self, name: str) -> bool:
        return (self.path / f"{name}.pt").exists()

    def load(self, name: str) -> dict:
        path = self.path / f"{name}.pt"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; run the stage {name!r} first")
        return torch.load(path, weights_only=True, map_location="cpu")

    def save(self, name: str, content: dict) -> None:
        """All or nothing: a kill while saving leaves the last checkpoint as it was."""
        unfinished = self.path / f"{name}.pt.unfinished"
        with open(unfinished, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self.path / f"{name}.pt")

    def log(self, name: str, **values: float | str) -> None:
        row = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
        with open(self.path / f"{name}.log", "a") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self, name: str) -> list[dict]:
        """What was logged so far."""
        path = self.path / f"{name}.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def cut_log(self, name: str, step: int) -> None:
        """Forget what was logged after `step`: those steps are about to be made again."""
        kept = [row for row in self.rows(name) if row.get("step", 0) <= step]
        path = self.path / f"{name}.log"
        if path.exists():
            path.write_text("".join(json.dumps(row) + "\n" for row in kept))


def averaged(parts: dict[str, dict], name: str = "average") -> dict[str, Tensor]:
    """The average in a checkpoint's parts under the model's own names; empty where none was kept, or of nothing."""
    kept = parts.get(name, {})
    if not int(kept.get("n_averaged", 0)):
        return {}
    return {key.removeprefix("module."): tensor for key, tensor in kept.items() if key != "n_averaged"}


def train(
    folder: RunFolder,
    name: str,
    steps: int,
    make_step: Callable[[int], dict[str, float]],
    parts: dict[str, Stateful],
    check: Callable[[], dict[str, float]] = dict,
    show: Callable[[], dict[str, Tensor]] = dict,
    check_every: int = 200,
    save_every: int = 200,
    tensorboard: bool = False,
) -> None:
    """Run `make_step(step)` for steps 0 to `steps`, from the last checkpoint of `name` if there is one.

    make_step returns the losses of the step as floats; their means since the last line go to the log with what
    check() finds on held-out sound. show() gives sounds [S] by name, written with their spectrograms at every check.
    """
    step, spent, sums = 0, 0.0, {}
    if folder.has(name):
        saved = folder.load(name)
        for part_name, part in parts.items():
            try:
                part.load_state_dict(saved["parts"][part_name])
            except (KeyError, ValueError, RuntimeError) as error:
                raise ValueError(
                    f"the checkpoint of {name!r} in {folder.path} is of another recipe or version, its {part_name} "
                    f"does not fit ({error}); go on with the recipe that it was made with, or choose another folder"
                ) from error
        step, spent, sums = saved["step"], saved["seconds"], saved["sums"]
        folder.cut_log(name, step)
    writer = _tensorboard(folder.path / "tensorboard" / name) if tensorboard else None
    bar = tqdm(total=steps, initial=step, desc=name, unit="step")
    began = time.monotonic()
    while step < steps:
        for key, value in make_step(step).items():
            if value != value:
                raise ValueError(
                    f"{name}: {key} became NaN in step {step}; the last checkpoint is intact. "
                    "Lower the learning rate or switch on gradient clipping, then start again"
                )
            total, count = sums.get(key, (0.0, 0))
            sums[key] = (total + value, count + 1)
        step += 1
        bar.update()
        seconds = spent + time.monotonic() - began
        if step % check_every == 0 or step == steps:
            means = {key: total / count for key, (total, count) in sums.items()}
            row = dict(step=step, seconds=seconds, **means, **check())
            folder.log(name, **row)
            _print(bar, name, row, first=step <= check_every)
            for sound, wav in show().items():
                _write_sound(folder.path / "samples" / name, f"{sound}_{step:06d}", wav)
            if writer:
                for key, value in row.items():
                    writer.add_scalar(key, value, step)
            sums = {}
        if step % save_every == 0 or step == steps:
            states = {part_name: part.state_dict() for part_name, part in parts.items()}
            folder.save(name, {"parts": states, "step": step, "seconds": seconds, "sums": sums})
    bar.close()


def _print(bar: tqdm, name: str, row: dict[str, float], first: bool) -> None:
    """A line of the loss table, its header when it is the first."""
    columns = [key for key in row if key != "step"]
    if first:
        bar.write(" ".join(["  step", *(f"{key[:11]:>11}" for key in columns)]))
    bar.write(" ".join([f"{row['step']:6}", *(f"{row[key]:11.4g}" for key in columns)]))


def _write_sound(folder: Path, name: str, wav: Tensor) -> None:
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    sound = wav.detach().float().cpu().clamp(-1, 1).numpy()
    soundfile.write(folder / f"{name}.flac", sound, SAMPLE_RATE, subtype="PCM_16")
    _draw_spectrogram(folder / f"{name}.png", sound)


def _draw_spectrogram(path: Path, wav: np.ndarray) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    with np.errstate(divide="ignore"):
        axes.specgram(wav + 1e-6, NFFT=1024, noverlap=768, Fs=SAMPLE_RATE, vmin=-120, vmax=-30, cmap="magma")
    axes.set(xlabel="seconds", ylabel="Hz", title=path.stem)
    figure.savefig(path, dpi=100)


def _tensorboard(folder: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "TensorBoard is not installed: pip install tensorboard, or leave --tensorboard out"
        ) from error
    return SummaryWriter(str(folder))
