"""How an answer is judged: first its shape, then its value, then a hint; an untouched stub is no mistake."""

import json
import os
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...data.stereo import write_whole
from ...start import PROGRESS

RIGHT, WRONG, NOT_TRIED = "right", "wrong", "not tried yet"
HIDDEN = "MINIMOSHI_GRADING"  # an environment variable: {"path", "seeds"} while `minimoshi grade` runs a notebook
SIGNS = {RIGHT: "✓", WRONG: "✗", NOT_TRIED: "·"}


class Wrong(Exception):
    """What is wrong with an answer, in words for the person who wrote it."""


class NotTried(Exception):
    """The answer is still the stub."""


@dataclass(frozen=True)
class Verdict:
    """What a check found: `state` is "right", "wrong" or "not tried yet"."""

    notebook: str
    exercise: str
    state: str
    message: str = ""
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{SIGNS[self.state]} {self.exercise}: {self.state}" + (f". {self.message}" if self.message else "")]
        return "\n".join(lines + ([f"  hint: {self.hint}"] if self.hint else []))


class Exercise:
    """One exercise. Calling it prints the verdict; `verdict(answer, seed)` returns it, for grading."""

    def __init__(self, notebook: str, examine: Callable[[Any, torch.Generator], str], hint: str):
        self.notebook, self.name, self.hint = notebook, examine.__name__, hint
        self.examine, self.__doc__ = examine, examine.__doc__

    def verdict(self, answer: Any, seed: int = 0) -> Verdict:
        """Judge `answer` on inputs drawn from `seed`. Never raises for what a student's code does."""
        try:
            untouched(answer)
            with torch.random.fork_rng(devices=[]):  # an answer that draws numbers is judged alike each time
                torch.manual_seed(seed)
                praise = self.examine(answer, torch.Generator().manual_seed(seed))
            return Verdict(self.notebook, self.name, RIGHT, praise)
        except NotTried:
            return Verdict(self.notebook, self.name, NOT_TRIED)
        except Wrong as fault:
            return Verdict(self.notebook, self.name, WRONG, str(fault), self.hint)
        except Exception as error:  # an answer so odd that the check itself stumbles over it is no right one
            odd = f"{type(error).__name__}: {error}"
            what = f"no check can be made of it ({odd}); compare types and shapes with the card"
            return Verdict(self.notebook, self.name, WRONG, what, self.hint)

    def __call__(self, answer: Any) -> None:
        verdict = self.verdict(answer)
        print(verdict)
        if HIDDEN in os.environ:
            self._tell_grader(answer, verdict)
        elif verdict.state == RIGHT:
            _remember(verdict)

    def _tell_grader(self, answer: Any, verdict: Verdict) -> None:
        """The first verdict that is not "right", on inputs that the student has not seen."""
        grading = json.loads(os.environ[HIDDEN])
        for seed in grading["seeds"]:
            if verdict.state == RIGHT:
                verdict = self.verdict(answer, seed)
        with open(grading["path"], "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(verdict)) + "\n")


def _remember(verdict: Verdict) -> None:
    """Note the day in the student's own folder; in the course itself there is no such file, and nothing is written."""
    path = Path.cwd().parent / PROGRESS
    if not path.exists():
        return
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        if verdict.exercise not in noted["passed"]:
            noted["passed"][verdict.exercise] = {"notebook": verdict.notebook, "day": date.today().isoformat()}
            write_whole(path, json.dumps(noted, indent=1) + "\n")
    except (OSError, ValueError, KeyError, TypeError):
        print(f"(this success could not be noted in {path.name}: the file is not as `minimoshi start` made it)")


EXERCISES: dict[str, Exercise] = {}


def exercise(notebook: str, hint: str) -> Callable[[Callable], Exercise]:
    """Make an exercise of `examine(answer, generator)`, which raises Wrong or returns what to praise."""

    def register(examine: Callable) -> Exercise:
        if examine.__name__ in EXERCISES:
            raise ValueError(f"There are two exercises called {examine.__name__}.")
        EXERCISES[examine.__name__] = Exercise(notebook, examine, hint)
        return EXERCISES[examine.__name__]

    return register


def untouched(answer: Any) -> None:
    """Raise NotTried where a stub's `...` is still in the answer."""
    if answer is Ellipsis or (isinstance(answer, (tuple, list)) and any(part is Ellipsis for part in answer)):
        raise NotTried


def call(function: Callable, *arguments: Any) -> Any:
    """Run the student's function; a stub is NotTried, an exception or a missing `return` is Wrong."""
    if not callable(function):
        raise Wrong(f"expected a function, got {describe(function)}")
    try:
        result = function(*arguments)
    except NotImplementedError:
        raise NotTried from None
    except Exception as error:
        steps = traceback.extract_tb(error.__traceback__)[1:]
        lines = [step.line for step in steps if step.line and "site-packages" not in step.filename]
        line = f" at `{lines[-1]}`" if lines else ""
        raise Wrong(f"your code stopped with {type(error).__name__}: {error}{line}") from None
    untouched(result)
    if result is None:
        raise Wrong("it gave back None: is the `return` missing?")
    return result


def describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, np.ndarray):
        return f"an array {list(value.shape)} of {value.dtype}"
    return f"{type(value).__name__} {value!r}"[:80]


def want_shape(got: Any, shape: tuple[int, ...], axes: str, what: str = "the result") -> None:
    """`axes` names them, such as "[frames, bins]"."""
    if not isinstance(got, (torch.Tensor, np.ndarray)):
        raise Wrong(f"shape: {what} should be a tensor {axes}, got {describe(got)}")
    if tuple(got.shape) != tuple(shape):
        turned = " (the axes are swapped)" if tuple(got.shape) == tuple(reversed(shape)) else ""
        raise Wrong(f"shape: {what} should be {axes} = {list(shape)}, got {list(got.shape)}{turned}")


def want_close(got: Any, want: torch.Tensor, what: str = "the result", within: float = 1e-4) -> None:
    """Largest difference at most `within`; otherwise say where the first one is."""
    got, want = torch.as_tensor(got), torch.as_tensor(want)
    if torch.is_complex(got) and not torch.is_complex(want):
        raise Wrong(f"value: {what} is complex; take its magnitude with .abs()")
    if not torch.isfinite(got).all():
        raise Wrong(f"value: {what} holds NaN or infinite numbers")
    gap = (got - want).abs()
    if gap.max() > within:
        place = tuple(int(i) for i in (gap > within).nonzero()[0])
        raise Wrong(
            f"value: {what} at {list(place)} is {got[place].item():.4g}, expected {want[place].item():.4g} "
            f"(largest difference {gap.max():.2g})"
        )


def want_equal(got: Any, want: Any, what: str) -> None:
    """For whole numbers, booleans and words."""
    if isinstance(got, (torch.Tensor, np.generic)):
        got = got.item()
    if isinstance(want, int) and not isinstance(want, bool) and isinstance(got, float) and got == int(got):
        raise Wrong(f"value: {what} is right, but {got!r} is a float; count in whole numbers (`//` instead of `/`)")
    if type(got) is not type(want):
        raise Wrong(f"{what} should be {type(want).__name__}, got {describe(got)}")
    if got != want:
        raise Wrong(f"value: {what} is {got!r}, expected {want!r}")
