"""What the tests of every notebook's exercises ask of a check: to praise, to name a mistake, to know its notebook."""

from minimoshi.lab import check
from minimoshi.lab.check.core import RIGHT, WRONG


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


def of_notebooks(*numbers: str) -> set[str]:
    """The names of these notebooks' exercises."""
    return {name for name, exercise in check.EXERCISES.items() if exercise.notebook in numbers}
