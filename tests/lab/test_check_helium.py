"""The checks and the pictures of notebook 02: right answers pass, wrong ones are told why, stubs are no mistake."""

import pytest
import torch
from matplotlib import pyplot as plt

from minimoshi.lab import check, plots_text
from minimoshi.lab.check.core import NOT_TRIED
from tests.exercises import ExerciseTests


def pairs(mask):
    return mask.triu(1).nonzero().tolist()


def turn(x, positions, max_period, sign=1.0, exponent=2.0):
    speeds = max_period ** -(exponent * torch.arange(x.shape[-1] // 2) / x.shape[-1])
    angles = sign * positions[:, None] * speeds
    first, second = x[:, 0::2], x[:, 1::2]
    turned = (first * angles.cos() - second * angles.sin(), first * angles.sin() + second * angles.cos())
    return torch.stack(turned, dim=-1).flatten(-2)


def halves(x, positions, max_period):
    mixed = torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2)
    turned = turn(mixed, positions, max_period)
    return torch.cat([turned[:, 0::2], turned[:, 1::2]], dim=-1)


def count(c, matrices=3, rows=1, norms=2, last=1, head=1):
    table, out = (c.text_card + rows) * c.dim, head * c.text_card * c.dim
    layer = 4 * c.dim**2 + matrices * c.dim * c.hidden + norms * c.dim
    return table + out + c.layers * layer + last * c.dim


SOLUTIONS = {"leaks": pairs, "rotate_pairs": turn, "parameters": count}
MISTAKES = [
    ("leaks", lambda mask: [], "leaks in"),
    ("leaks", lambda mask: mask.triu().nonzero().tolist(), "looking at itself"),
    ("leaks", lambda mask: [(key, query) for query, key in pairs(mask)], "wrong way round"),
    ("leaks", lambda mask: True, "list of pairs"),
    ("leaks", lambda mask: [3, 5], "two whole numbers each"),
    ("leaks", lambda mask: mask.triu(1), "two whole numbers each"),
    ("rotate_pairs", lambda x, p, m: turn(x, p, m, sign=-1.0), "wrong way round"),
    ("rotate_pairs", lambda x, p, m: turn(x, p, m, exponent=1.0), "too fast"),
    ("rotate_pairs", halves, "neighbours"),
    ("rotate_pairs", lambda x, p, m: x, "expected"),
    ("rotate_pairs", lambda x, p, m: x[0], "shape"),
    ("parameters", lambda c: count(c, matrices=2), "three matrices"),
    ("parameters", lambda c: count(c, rows=0), "initial token"),
    ("parameters", lambda c: count(c, norms=0), "two norms"),
    ("parameters", lambda c: count(c, norms=0, last=0), "one after the last layer"),
    ("parameters", lambda c: count(c, head=0), "matrix of its own"),
    ("parameters", lambda c: float(count(c)), "float"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("02",), SOLUTIONS, MISTAKES


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried_and_raises_nothing(name: str) -> None:
    assert check.EXERCISES[name].verdict(lambda *arguments: ...).state == NOT_TRIED


def test_pieces_are_boxes_with_their_ids() -> None:
    figure = plots_text.pieces([(["▁what", "▁is"], [5, 17]), (["a"], [9])])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["▁what", "5", "▁is", "17", "a", "9"]
    assert axes.patches[0].get_width() > axes.patches[1].get_width()
    plt.close(figure)


def test_a_curve_and_the_lines_to_beat() -> None:
    _, axes = plt.subplots()
    plots_text.beside_lines(axes, [0, 10], [900.0, 3.0], {"bigram": 5.25})
    assert axes.lines[0].get_ydata().tolist() == [900.0, 3.0] and axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.texts] == ["bigram, 5.25"]
    plt.close("all")


def test_parts_of_bars_follow_one_another() -> None:
    _, axes = plt.subplots()
    plots_text.stacked(axes, {"before": {"good": 3, "bad": 2}, "after": {"good": 3}}, "lines")
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 3), (3, 2), (0, 3), (3, 0)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["good", "bad"]
    plt.close("all")
