"""The training loop: what a kill costs (nothing), what is logged and shown, what bad numbers do."""

import json

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from minimoshi.training.loop import RunFolder, step_seed, train


class Toy:
    """A line fitted with Adam to noisy points drawn anew in every step."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        self.optimiser = torch.optim.Adam(self.model.parameters(), 0.05)

    def parts(self):
        return {"model": self.model, "optimiser": self.optimiser}

    def step(self, number: int) -> dict[str, float]:
        _, generator = step_seed(7, number)
        x = torch.randn(8, 3, generator=generator)
        loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": float(loss.detach())}


def without_time(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.parametrize("death", [1, 4, 5, 9, 10, 14])
def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path, death):
    whole, broken = Toy(), Toy()
    train(RunFolder(tmp_path / "whole"), "line", 15, whole.step, whole.parts(), check_every=5, save_every=4)

    def dies(number):
        if number == death:
            raise KeyboardInterrupt
        return broken.step(number)

    folder = RunFolder(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(folder, "line", 15, dies, broken.parts(), check_every=5, save_every=4)
    again = Toy()
    train(folder, "line", 15, again.step, again.parts(), check_every=5, save_every=4)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert without_time(folder.rows("line")) == without_time(RunFolder(tmp_path / "whole").rows("line"))
    assert [row["step"] for row in folder.rows("line")] == [5, 10, 15]


def test_it_learns_and_a_finished_run_is_not_repeated(tmp_path):
    toy, folder = Toy(), RunFolder(tmp_path)
    train(folder, "line", 100, toy.step, toy.parts(), check_every=10)
    rows = folder.rows("line")
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"]
    before = (tmp_path / "line.log").read_bytes()
    train(folder, "line", 100, lambda _: pytest.fail("made a step"), toy.parts(), check_every=10)
    assert (tmp_path / "line.log").read_bytes() == before


def test_a_kill_while_saving_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.save("line", {"step": 1})

    def dies(content, file):
        file.write(b"half a checkpoint")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        folder.save("line", {"step": 2})
    assert folder.load("line") == {"step": 1}


def test_nan_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    toy, folder = Toy(), RunFolder(tmp_path)

    def breaks(number):
        return {"loss": float("nan")} if number == 6 else toy.step(number)

    with pytest.raises(ValueError, match="loss became NaN in step 6"):
        train(folder, "line", 20, breaks, toy.parts(), save_every=5)
    assert folder.load("line")["step"] == 5


def test_sounds_are_written_with_their_pictures(tmp_path):
    toy, folder = Toy(), RunFolder(tmp_path)
    tone = torch.sin(torch.arange(24_000) * 0.1) * 0.5
    train(folder, "line", 4, toy.step, toy.parts(), show=lambda: {"tone": tone}, check_every=2)
    samples = sorted(path.name for path in (tmp_path / "samples" / "line").iterdir())
    assert samples == ["tone_000002.flac", "tone_000002.png", "tone_000004.flac", "tone_000004.png"]
    wav, rate = soundfile.read(tmp_path / "samples" / "line" / "tone_000004.flac")
    assert rate == 24_000 and np.abs(wav - tone.numpy()).max() < 1e-3


def test_a_checkpoint_of_another_recipe_is_refused_and_kept(tmp_path):
    toy, folder = Toy(), RunFolder(tmp_path)
    train(folder, "line", 5, toy.step, toy.parts())
    other = nn.Linear(4, 1)  # another shape, another optimiser, a part that had not been there
    for parts, what in (
        ({"model": other}, "its model does not fit"),
        ({"optimiser": torch.optim.Adam([{"params": [p]} for p in other.parameters()])}, "its optimiser does not fit"),
        (toy.parts() | {"average": other}, "its average does not fit"),
    ):
        with pytest.raises(ValueError, match=f"(?s){what}.*choose another folder"):
            train(folder, "line", 9, toy.step, parts)
    assert folder.load("line")["step"] == 5


def test_a_missing_stage_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the stage 'encoder' first"):
        RunFolder(tmp_path).load("encoder")


def test_the_log_is_one_object_a_line(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log("x", step=1, loss=0.123456789)
    folder.log("x", step=2, loss=0.1)
    lines = (tmp_path / "x.log").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "loss": 0.12346}, {"step": 2, "loss": 0.1}]
    folder.cut_log("x", 1)
    assert [row["step"] for row in folder.rows("x")] == [1]


def test_tensorboard_missing_is_said_plainly(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    toy = Toy()
    with pytest.raises(ImportError, match="pip install tensorboard"):
        train(RunFolder(tmp_path), "line", 2, toy.step, toy.parts(), tensorboard=True)
