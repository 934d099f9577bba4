"""What was measured is found again, also by the next process and after one that was cut off."""

import numpy as np
import pytest

from minimoshi.evaluation.memo import Memo, default_cache, digest


def counting(values):
    """A computation that gives the next value, so that a second call shows."""
    left = list(values)
    return lambda: left.pop(0)


@pytest.mark.parametrize("value", [0.25, "what was heard", None])
def test_measured_once(tmp_path, value):
    wav = np.arange(5.0)
    compute = counting([value, "again"])
    assert Memo(tmp_path)("stoi 1", (wav, "x"), compute) == value
    assert Memo(tmp_path)("stoi 1", (wav.copy(), "x"), compute) == value
    assert Memo(tmp_path)("stoi 2", (wav, "x"), compute) == "again"


def test_other_inputs_are_other_results():
    memo = Memo()
    compute = counting(range(9))
    a, b = np.zeros(3), np.ones(3)
    inputs = [(a, b), (b, a), (a,), (np.zeros(4),), ("ab", "c"), ("a", "bc")]
    assert [memo("x", i, compute) for i in inputs] == list(range(6))
    assert len({digest(*i) for i in inputs}) == 6


def test_a_line_that_was_cut_off_is_measured_again(tmp_path):
    memo = Memo(tmp_path)
    memo("a", ("1",), lambda: 1.0)
    memo("b", ("1",), lambda: 2.0)
    file = tmp_path / "measures.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    again = Memo(tmp_path)
    assert again("a", ("1",), lambda: -1.0) == 1.0
    assert again("b", ("1",), lambda: 3.0) == 3.0
    assert Memo(tmp_path)("b", ("1",), lambda: -1.0) == 3.0


def test_the_cache_is_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "minimoshi"
