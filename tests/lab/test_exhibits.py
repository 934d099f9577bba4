"""The machines of the museum: right functions give the package's own results, wrong ones something else."""

import matplotlib.pyplot as plt
import pytest
import torch

from minimoshi import DepthConfig, HeliumConfig, HierarchicalGenerator, MimiConfig, MoshiConfig
from minimoshi.lab import exhibits, museum
from minimoshi.lab.check.museum import turned
from minimoshi.nn import attention


@pytest.fixture(scope="module")
def generator() -> HierarchicalGenerator:
    """A generator that has learnt nothing, of the usual 512 codes."""
    torch.manual_seed(1)
    helium = HeliumConfig(dim=16, layers=1, heads=2, hidden=32, context=50, text_card=40)
    depth = DepthConfig(dim=16, layers=1, heads=2, hidden=32, input_dim=16, card=512, text_card=40)
    config = MoshiConfig(helium=helium, depth=depth, card=512, mimi=MimiConfig.preset("tiny"))
    return HierarchicalGenerator(config).eval().requires_grad_(False)


TEXT = torch.tensor([3, 0, 10, 3, 3, 0, 11, 3])
USER = torch.arange(8)


def test_by_hand_it_says_what_the_stream_says(generator: HierarchicalGenerator) -> None:
    said = exhibits.say(generator, TEXT, USER, temperature=1e-4)
    stream, frames = generator.stream(temperature=0.0), []
    for token in [*TEXT.tolist(), 3]:
        frames.append(stream.step(USER[None], text=torch.tensor([token])))
    assert frames[0] is None and torch.equal(torch.cat(frames[1:])[:, 1:].T, said)


def test_a_neighbour_in_the_batch_is_noticed_by_the_exhibit_only(generator: HierarchicalGenerator) -> None:
    alone = exhibits.say(generator, TEXT, USER)
    assert torch.equal(exhibits.say(generator, TEXT, USER, room=5), alone)
    assert torch.equal(exhibits.say(generator, TEXT, USER, museum.newest), alone)
    assert not torch.equal(exhibits.say(generator, TEXT, USER, museum.newest, room=5), alone)


def test_a_rotation_holds_within_its_block_even_when_something_fails(generator: HierarchicalGenerator) -> None:
    usual, grid = attention.rotate, torch.randint(0, 30, (1, 17, 12))
    want = generator(grid).text_logits
    with exhibits.rotation(turned):
        assert torch.allclose(generator(grid).text_logits, want, atol=1e-5)
    with pytest.raises(ZeroDivisionError), exhibits.rotation(museum.turn_pairs):
        assert not torch.allclose(generator(grid).text_logits, want, atol=1e-5)
        raise ZeroDivisionError
    assert attention.rotate is usual


def test_the_parrot_learns_by_heart_unless_it_sees_the_answer() -> None:
    codes = torch.randint(512, (8, 16))
    losses, said, _ = exhibits.by_heart(exhibits.causal_window, codes, steps=50)
    leaky_losses, leaky_said, _ = exhibits.by_heart(museum.may_look, codes, steps=50)
    assert torch.equal(said[:, :4], codes[:, :4]) and said.shape == leaky_said.shape == codes.shape
    assert (said == codes).float().mean() > 0.9 > 0.6 > (leaky_said == codes).float().mean()
    assert sum(leaky_losses[-5:]) < 0.6 * sum(losses[-5:])


def test_a_rescue_keeps_codes_in_use_and_the_exhibit_does_not() -> None:
    points = torch.randn(400, 6)
    used = [len(exhibits.nearest(points, exhibits.learn_codebook(points, how, size=64)).unique())
            for how in (exhibits.rescue, museum.revive)]  # fmt: skip
    assert used[0] == 64 and used[1] < 48


def test_a_weight_puts_the_semantic_code_first() -> None:
    heavy, missing = (exhibits.race(loss, 100.0) for loss in (exhibits.weighted_loss, museum.audio_loss))
    assert heavy.shape == missing.shape == (8, 60)
    assert heavy[0, -1] < 0.5 * missing[0, -1] and heavy[1:, -1].mean() > missing[1:, -1].mean()
    assert torch.equal(exhibits.race(exhibits.weighted_loss, 1.0), missing)  # a missed weight is a weight of one


def test_both_sounds_are_pictured_and_played(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(exhibits, "show", lambda figure, alt: (shown.append(alt), plt.close(figure)))
    monkeypatch.setattr(exhibits, "play", lambda wav, **how: shown.append((how["title"], how["transcript"])))
    one, other = torch.sin(torch.arange(9600) / 20), torch.zeros(9600)
    exhibits.hear(one, other, words="a", heard="b", alt="two sounds")
    assert shown == ["two sounds", ("Healthy", "a"), ("Broken", "b")]
    assert torch.allclose(exhibits.loudness(one), torch.tensor(0.5).sqrt(), atol=0.02)
    figure = exhibits.side_by_side({"one": one, "other": other})
    titles = ["".join(axes.get_title(place) for place in ("left", "center")) for axes in figure.axes]
    assert titles == ["one", "other"]  # where they stand is a matter of style
    plt.close(figure)
