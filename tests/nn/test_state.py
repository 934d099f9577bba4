"""A state is a plain value."""

from dataclasses import dataclass

import torch

from minimoshi.nn import StreamingConv1d, StreamingSequential
from minimoshi.nn.state import State, check_batch
from tests.helpers import refused


@dataclass
class Leaf(State):
    values: torch.Tensor
    calls: int = 0

    def _on_reset(self, everything: bool) -> None:
        self.calls = 0 if everything else -1


@dataclass
class Tree(State):
    leaf: Leaf
    several: list[Leaf | None]
    nothing: Leaf | None = None


def tree() -> Tree:
    return Tree(Leaf(torch.ones(3, 2), calls=5), [Leaf(torch.ones(3), calls=5), None])


def test_tensors_are_found_at_any_depth() -> None:
    assert [tuple(tensor.shape) for tensor in tree().tensors()] == [(3, 2), (3,)]
    assert tree().batch_size == 3
    assert Tree(Leaf(torch.ones(0)), []).leaf.batch_size == 0


def test_reset_of_some_rows_zeroes_just_those() -> None:
    state = tree()
    state.reset(torch.tensor([False, True, False]))
    assert state.leaf.values.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert state.several[0].values.tolist() == [1, 0, 1]
    assert (state.leaf.calls, state.several[0].calls) == (-1, -1)


def test_reset_of_all_rows_is_a_fresh_start() -> None:
    for rows in (None, torch.ones(3, dtype=torch.bool)):
        state = tree()
        state.reset(rows)
        assert not any(tensor.any() for tensor in state.tensors())
        assert (state.leaf.calls, state.several[0].calls) == (0, 0)


def test_a_clone_shares_nothing() -> None:
    state = tree()
    copy = state.clone()
    state.reset()
    assert copy.leaf.values.all() and copy.several[0].values.all() and copy.leaf.calls == 5


def test_a_chain_remembers_only_where_there_is_something_to_remember() -> None:
    chain = StreamingSequential(torch.nn.ELU(), StreamingConv1d(1, 2, 3), torch.nn.ELU())
    assert [part is None for part in chain.initial_state(2).parts] == [True, False, True]
    assert StreamingSequential(torch.nn.ELU()).initial_state(2).batch_size is None


def test_batch_sizes_must_agree() -> None:
    check_batch(None, torch.zeros(2, 1), "x")
    check_batch(tree(), torch.zeros(3, 1), "x")
    with refused(None, "thing: the state holds 3 streams but the input has batch size 2"):
        check_batch(tree(), torch.zeros(2, 1), "thing")
