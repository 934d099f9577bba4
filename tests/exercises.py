"""What the tests of every notebook's exercises ask of a check: to praise, to name a mistake, to know its notebook."""

import pytest
from torch import Tensor

from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED, RIGHT, WRONG


def assert_right(name: str, answer: object, seed: int) -> None:
    verdict = check.EXERCISES[name].verdict(answer, seed)
    assert verdict.state == RIGHT, verdict
    assert verdict.message and not verdict.hint


def assert_named(name: str, answer: object, said: str) -> None:
    """The mistake is told in words that hold `said`, and a hint comes with it."""
    verdict = check.EXERCISES[name].verdict(answer)
    assert verdict.state == WRONG
    assert said in verdict.message
    assert verdict.hint


def assert_not_tried(*names: str) -> None:
    """A stub that is a function, `...` inside, is no mistake."""
    for name in names:
        assert check.EXERCISES[name].verdict(lambda *arguments: ...).state == NOT_TRIED


def of_notebooks(*numbers: str) -> set[str]:
    """The names of these notebooks' exercises."""
    return {name for name, exercise in check.EXERCISES.items() if exercise.notebook in numbers}


def _label(value: object) -> str:
    """The same in every process, so without addresses."""
    return str(getattr(value, "__name__", "" if isinstance(value, Tensor) else value))[:24]


class ExerciseTests:
    """What every file of exercise tests asks. A subclass names its `notebooks`, the `solutions` and the `mistakes`."""

    notebooks: tuple[str, ...]
    solutions: dict[str, object]
    mistakes: list[tuple[str, object, str]]
    seeds: tuple[int, ...] = (0, 7)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "seed" in metafunc.fixturenames:
            metafunc.parametrize("seed", self.seeds)
            metafunc.parametrize("solved", self.solutions)
        if "said" in metafunc.fixturenames:
            metafunc.parametrize(("name", "answer", "said"), self.mistakes, ids=_label)

    def test_solutions_are_right(self, solved: str, seed: int) -> None:
        assert_right(solved, self.solutions[solved], seed)

    def test_mistakes_are_named_and_answered_with_a_hint(self, name: str, answer: object, said: str) -> None:
        assert_named(name, answer, said)

    def test_every_exercise_of_the_notebooks_has_a_solution_here(self) -> None:
        assert set(self.solutions) == of_notebooks(*self.notebooks)
