"""The self-supervised teacher: units, masks, two rounds, and a run that may be killed."""

import numpy as np
import pytest
import torch

from minimoshi.training.teachers import selfsupervised
from minimoshi.training.teachers.interface import corpus_batches
from minimoshi.training.teachers.selfsupervised import (
    Cepstrum,
    SelfSupervisedConfig,
    SelfSupervisedTeacher,
    find_units,
    hide_spans,
    masked_loss,
    purity,
    train_selfsupervised,
)
from tests.speech_toys import toy_corpus

CONFIG = SelfSupervisedConfig(dim=24, layers=2, heads=2, hidden=48, units=12, convolutions=2)


@pytest.fixture
def batches(tmp_path, monkeypatch):
    toy_corpus(tmp_path / "corpus", monkeypatch)
    return corpus_batches(tmp_path / "corpus", size=4, frames=10, augment=False)


def train(batches, folder=None, steps: int = 12, rounds: int = 2, log=None) -> SelfSupervisedTeacher:
    log = log or (lambda line: None)
    return train_selfsupervised(batches, rounds, steps, 0, CONFIG, folder, log, unit_points=800, checkpoint_every=4)


def melody(rng: np.random.Generator, spoken: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Four tones in an order that never changes, begun anywhere: what is hidden can be known from what is heard."""
    start = rng.integers(4, size=(4, 1))
    tone = (start + np.arange(10)).repeat(1920, axis=1) % 4
    phase = 2 * np.pi * (300 + 500 * tone) * np.arange(10 * 1920) / 24_000
    wav = torch.from_numpy(0.3 * np.sin(phase)).float()[:, None]
    return wav, torch.full((4, 10), -100)


def test_the_cepstrum_follows_the_shape_of_the_spectrum_not_the_level():
    time = torch.arange(8 * 1920) / 24_000
    tone = torch.sin(2 * torch.pi * 440 * time)[None, None] * 0.3
    cepstrum = Cepstrum()
    whole = cepstrum(tone)
    assert whole.shape == (1, 32, 39)
    steady = whole[:, 8:24]
    assert float(steady[..., 13:].abs().max()) < 0.05 * float(steady[..., :13].abs().max()), "nothing changes in time"
    louder = cepstrum(2 * tone)[:, 8:24]
    assert (louder - steady)[..., 0].abs().min() > 5 * (louder - steady)[..., 2:13].abs().mean()
    rising = torch.linspace(0, 1, 40)[None, None]
    torch.testing.assert_close(Cepstrum._slope(rising)[..., 2:-2], torch.full((1, 1, 36), 1 / 39))


def test_units_are_heaps_of_columns_that_sound_alike(batches):
    units = find_units(Cepstrum(), batches, 12, points=800)
    wav, phones = batches(np.random.default_rng(50), True)
    named = units(wav)
    assert named.shape == (4, 40) and named.dtype == torch.int64 and 0 <= int(named.min()) and int(named.max()) < 12
    columns = phones.repeat_interleave(4, dim=1)
    shuffled = named.flatten()[torch.randperm(named.numel(), generator=torch.Generator().manual_seed(0))]
    assert purity(named, columns) > 1.3 * purity(shuffled.view_as(named), columns)
    assert torch.equal(named, find_units(Cepstrum(), batches, 12, points=800)(wav)), "the same seed, the same units"


def test_purity_by_hand():
    units = torch.tensor([[0, 0, 0, 1, 1, 2]])
    phones = torch.tensor([[5, 5, 6, 7, 7, -100]])
    assert purity(units, phones) == pytest.approx(4 / 5)


def test_masks_hide_spans_and_about_half():
    mask = hide_spans(64, 200, torch.Generator().manual_seed(0))
    assert mask.shape == (64, 200) and 0.35 < float(mask.float().mean()) < 0.55
    edges = torch.diff(mask.int(), dim=1)
    for row, edge in zip(mask, edges, strict=True):
        starts, ends = torch.nonzero(edge == 1)[:, 0] + 1, torch.nonzero(edge == -1)[:, 0] + 1
        ends = ends[ends > starts[0]] if len(starts) else ends[:0]
        assert all(int(end - start) >= 10 for start, end in zip(starts, ends, strict=False))
        assert row.any()
    assert hide_spans(100, 12, torch.Generator().manual_seed(0), start=0.0).any(1).all(), "always something to guess"


def test_what_is_hidden_is_not_heard():
    torch.manual_seed(0)
    net = SelfSupervisedTeacher(CONFIG).eval()
    mask = torch.zeros(1, 40, dtype=torch.bool)
    mask[:, 16:28] = True
    wav = torch.randn(1, 1, 10 * 1920) * 0.1
    other = wav.clone()
    other[..., 480 * 21 : 480 * 23] += 0.5 * torch.randn(480 * 2)  # well inside what is hidden
    with torch.no_grad():
        torch.testing.assert_close(net.predict_units(wav, mask), net.predict_units(other, mask))
        seen = torch.zeros_like(mask)
        assert not torch.allclose(net.predict_units(wav, seen), net.predict_units(other, seen), atol=1e-3)


def test_hidden_columns_count_and_heard_ones_by_their_weight():
    scores, units = torch.randn(2, 5, 3, requires_grad=True), torch.randint(0, 3, (2, 5))
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, 2] = True
    loss, accuracy = masked_loss(scores, units, mask, heard=0.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-float(scores[0, 2].log_softmax(-1)[units[0, 2]].detach()), rel=1e-5)
    assert scores.grad[0, 2].abs().sum() > 0 and not scores.grad[~mask].any()
    assert float(accuracy) == float(scores[0, 2].argmax() == units[0, 2])
    heard = masked_loss(scores, units, ~mask, heard=0.0)[0]
    torch.testing.assert_close(masked_loss(scores, units, mask, heard=0.5)[0], loss + 0.5 * heard)
    everything = torch.ones_like(mask)
    assert torch.isfinite(masked_loss(scores, units, everything, heard=0.5)[0]), "nothing heard at all is no NaN"


def test_it_learns_to_name_what_it_did_not_hear():
    lines = []
    train(melody, steps=100, rounds=1, log=lines.append)
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines if "step" in line]
    assert losses[-1] < 0.5 * losses[0]


def test_a_killed_run_ends_with_the_same_teacher(batches, tmp_path, monkeypatch):
    whole = train(batches, tmp_path / "whole", steps=8)
    calls, killed_at = [0], (6, 4 + 8 + 3)  # in the middle of either round, between two checkpoints
    clip = torch.nn.utils.clip_grad_norm_

    def dying(*arguments):
        calls[0] += 1
        if calls[0] in killed_at:
            raise KeyboardInterrupt
        return clip(*arguments)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", dying)
    for _ in killed_at:
        with pytest.raises(KeyboardInterrupt):
            train(batches, tmp_path / "killed", steps=8)
    pieced = train(batches, tmp_path / "killed", steps=8)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, pieced.state_dict()[name]), name
    loaded = selfsupervised.SelfSupervisedTeacher.from_pretrained(tmp_path / "killed")
    wav, _ = batches(np.random.default_rng(0), True)
    torch.testing.assert_close(loaded(wav), whole(wav), atol=1e-5, rtol=1e-4)
    assert not list((tmp_path / "killed").glob("*.pt")), "nothing is left over"


def test_a_folder_belongs_to_one_run(batches, tmp_path):
    train(batches, tmp_path / "run", steps=1, rounds=1)
    with pytest.raises(ValueError, match="was begun with .*choose another folder"):
        train(batches, tmp_path / "run", steps=2, rounds=1)
    with pytest.raises(ValueError, match="feature_layer 3: expected one of the layers 1 to 2"):
        SelfSupervisedTeacher(CONFIG.replace(feature_layer=3))
