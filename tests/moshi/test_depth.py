"""The depth transformer: a law of chunks along the codebooks of a frame."""

import pytest
import torch

from minimoshi.moshi import DepthTransformer
from minimoshi.nn.embedding import ZERO_TOKEN
from tests.helpers import DEPTH, assert_same, numbers

CONFIGS = {
    "plain": DEPTH,
    "shared weights": DEPTH.replace(schedule=(0, 1, 1)),
    "low rank": DEPTH.replace(low_rank=4),
    "output norm": DEPTH.replace(output_norm=True),
    "ungated, layer norm": DEPTH.replace(gated=False, norm="layer"),
    "one codebook": DEPTH.replace(dep_q=1),
}


def inputs(config=DEPTH, batch: int = 2, frames: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        torch.randn(batch, frames, config.input_dim),
        torch.randint(config.text_card + 1, (batch, frames)),
        torch.randint(config.card + 1, (batch, config.dep_q, frames)),
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_step_by_step_is_all_at_once(name: str) -> None:
    config = CONFIGS[name]
    model = DepthTransformer(config).requires_grad_(False)
    z, text, audio = inputs(config)
    whole = model(z, text, audio)
    assert whole.shape == (2, config.dep_q, 5, config.card)
    for frame in range(5):
        state, added, token = model.initial_state(2), model.project(z[:, frame]), text[:, frame]
        for k in range(config.dep_q):
            assert_same(model.step(k, added, token, state), whole[:, k, frame])
            token = audio[:, k, frame]


def test_a_codebook_depends_on_what_came_before_in_its_frame_alone() -> None:
    model = DepthTransformer(DEPTH).requires_grad_(False)
    z, text, audio = inputs()
    before = model(z, text, audio)

    def changed(**tensors: torch.Tensor) -> list[list[int]]:
        after = model(**(dict(z=z, text=text, audio=audio) | tensors))
        return ((after - before).abs().amax((0, 3)) > 1e-6).nonzero().tolist()  # [codebook, frame]

    other = audio.clone()
    other[:, 1, 2] = (other[:, 1, 2] + 1) % DEPTH.card
    assert changed(audio=other) == [[2, 2]]
    other = audio.clone()
    other[:, 2] = 0  # the last codebook is never an input
    assert changed(audio=other) == []
    assert changed(text=text.index_fill(1, torch.tensor([3]), ZERO_TOKEN)) == [[0, 3], [1, 3], [2, 3]]
    assert changed(z=z.index_fill(1, torch.tensor([1]), 0.5)) == [[0, 1], [1, 1], [2, 1]]


def test_each_codebook_has_its_own_weights() -> None:
    model = DepthTransformer(DEPTH).requires_grad_(False)
    z, text, audio = inputs()
    before = model(z, text, audio)
    model.input_proj.weight[1] += 1
    assert ((model(z, text, audio) - before).abs().amax((0, 2, 3)) > 1e-6).tolist() == [False, True, True]
    before = model(z, text, audio)
    model.heads.weight[2] += 1
    assert ((model(z, text, audio) - before).abs().amax((0, 2, 3)) > 1e-6).tolist() == [False, False, True]


def test_a_schedule_saves_weights_but_not_heads() -> None:
    full, shared = DepthTransformer(DEPTH), DepthTransformer(CONFIGS["shared weights"])
    assert shared.heads.weight.shape == full.heads.weight.shape == (3, 32, 12)
    assert shared.transformer.layers[0].attention.in_proj.weight.shape == (2, 36, 12)
    assert numbers(shared) < numbers(full)
