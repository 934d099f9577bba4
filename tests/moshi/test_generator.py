"""The hierarchical generator: what it is trained to predict, from what, and that its stream predicts the same."""

from pathlib import Path

import pytest
import torch

from minimoshi.config import MOSHI_DELAYS, DepthConfig, HeliumConfig, MoshiConfig
from minimoshi.moshi import DepthTransformer, HierarchicalGenerator
from minimoshi.nn.embedding import ZERO_TOKEN
from minimoshi.sampling import sample
from minimoshi.text import HeliumModel
from tests.helpers import DEPTH, HELIUM, MOSHI, assert_same, refused, small_generator

# Where a codebook is earlier than what it is conditioned on, the step loop (like the official one) reads a sampled
# token while training reads the initial one, in the first columns: so text and codebooks come in order of delay.
DELAYS = [(0, 0, 1, 1, 0, 1, 1), (0,) * 7, (0, 0, 2, 2, 0, 2, 2), (0, 0, 1, 2, 0, 1, 2), (1, 1, 2, 3, 4, 1, 0)]


def random_codes(config: MoshiConfig = MOSHI, batch: int = 2, frames: int = 9) -> torch.Tensor:
    text = torch.randint(config.helium.text_card, (batch, 1, frames))
    return torch.cat([text, torch.randint(config.card, (batch, config.n_q, frames))], dim=1)


@pytest.mark.parametrize("delays", DELAYS, ids=str)
def test_masks_are_false_where_the_delay_leaves_nothing(delays: tuple[int, ...]) -> None:
    generator = small_generator(MOSHI.replace(delays=delays)).requires_grad_(False)
    out = generator(random_codes())
    assert out.text_logits.shape == (2, 1, 9, 20) and out.audio_logits.shape == (2, 3, 9, 32)
    assert out.text_mask.sum(-1).tolist() == [[9 - delays[0]]] * 2
    assert out.audio_mask.sum(-1).tolist() == [[9 - d for d in delays[1:4]]] * 2
    assert not out.audio_logits[~out.audio_mask].any() and not out.text_logits[~out.text_mask].any()


@pytest.mark.parametrize("delays", DELAYS, ids=str)
@pytest.mark.parametrize("row", range(7))
def test_nothing_is_predicted_from_itself_or_the_future(delays: tuple[int, ...], row: int) -> None:
    """Changing one token changes only what is written after it in the delayed grid: later columns, or, for Moshi's own
    tokens, later codebooks of the same column."""
    generator = small_generator(MOSHI.replace(delays=delays)).requires_grad_(False)
    codes, at = random_codes(batch=1), 3
    other = codes.clone()
    other[0, row, at] = (other[0, row, at] + 1) % 20
    before, after = generator(codes), generator(other)
    written = at + delays[row]  # the column of the delayed grid
    text = (before.text_logits != after.text_logits).any(-1)[0, 0]
    audio = (before.audio_logits != after.audio_logits).any(-1)[0]
    for frame in range(9):
        if frame + delays[0] <= written:
            assert not text[frame]
        for k in range(3):
            column, order = frame + delays[1 + k], 1 + k
            if column < written or (column == written and not row < order):
                assert not audio[k, frame], f"codebook {k} of frame {frame} saw row {row} of frame {at}"
    assert text.any() or audio.any()


@pytest.mark.parametrize("row", range(7))
def test_the_past_of_every_stream_is_heard(row: int) -> None:
    generator = small_generator().requires_grad_(False)
    codes = random_codes(batch=1)
    other = codes.clone()
    other[0, row, 2] = (other[0, row, 2] + 1) % 20
    changed = (generator(codes).text_logits != generator(other).text_logits).any(-1)[0, 0]
    assert changed.nonzero()[0].item() == 3 + MOSHI.delays[row]


@pytest.mark.parametrize("delays", DELAYS, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_the_stream_predicts_what_training_predicts(
    delays: tuple[int, ...], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emitted frame f and the user frame of call f + 1 are column f of the training tensor; the logits are equal."""
    config = MOSHI.replace(delays=delays)
    generator = small_generator(config).requires_grad_(False)
    calls = 16
    recorded: list[torch.Tensor] = []  # per call: text, then each codebook

    def recording(logits: torch.Tensor, *options) -> torch.Tensor:
        recorded.append(logits.clone())
        return sample(logits, *options)

    monkeypatch.setattr("minimoshi.moshi.stream.sample", recording)
    user = torch.randint(config.card, (calls, batch, 3))
    stream = generator.stream(batch, temperature=1.0, text_temperature=1.0, seed=0)
    answers = [stream.step(frame) for frame in user]
    assert [answer is None for answer in answers] == [call < max(delays) for call in range(calls)]
    moshi = torch.stack([answer for answer in answers if answer is not None], dim=2)  # [B, 4, F]
    frames = min(moshi.shape[2], calls - 1)
    heard = user[1 : frames + 1].permute(1, 2, 0)
    out = generator(torch.cat([moshi[..., :frames], heard], dim=1))

    compared = 0
    for call in range(calls):
        logits = recorded[4 * call : 4 * call + 4]
        for row, d in enumerate(delays[:4]):
            frame = call - d
            given, mask = (out.text_logits, out.text_mask) if row == 0 else (out.audio_logits, out.audio_mask)
            k = max(0, row - 1)
            if 0 <= frame < frames and mask[0, k, frame]:
                assert_same(logits[row], given[:, k, frame])
                compared += 1
    assert compared >= 4 * (frames - max(delays[:4]))


def test_missing_tokens_add_nothing_and_are_not_predicted() -> None:
    generator = small_generator().requires_grad_(False)
    codes = random_codes()
    codes[0, 0, 3] = codes[1, 2, 5] = codes[0, 5, 1] = ZERO_TOKEN
    out = generator(codes)
    assert (~out.text_mask).nonzero().tolist() == [[0, 0, 3]]
    lost = (~out.audio_mask).nonzero().tolist()
    assert lost == [[0, 1, 8], [0, 2, 8], [1, 1, 5], [1, 1, 8], [1, 2, 8]]
    generator.audio_embedding.weight[4].zero_()  # row 5 of the grid: a table of zeros says as little as -1
    whole = codes.clone()
    whole[0, 5, 1] = 7
    assert_same(generator(whole).text_logits, generator(codes).text_logits)


def test_training_reaches_every_parameter() -> None:
    generator = small_generator()
    out = generator(random_codes())
    (out.text_logits.logsumexp(-1).sum() + out.audio_logits.logsumexp(-1).sum()).backward()
    assert [name for name, parameter in generator.named_parameters() if parameter.grad is None] == []


def test_built_from_its_two_parts() -> None:
    helium = HeliumModel(HeliumConfig(dim=16, layers=1, heads=2, hidden=24, context=6, text_card=20))
    depth = DepthTransformer(DepthConfig(dim=12, layers=1, heads=2, hidden=20, input_dim=16, card=32, text_card=20))
    generator = HierarchicalGenerator(text_model=helium, audio_model=depth)
    assert generator.text_model is helium and generator.audio_model is depth
    assert (generator.config.n_q, generator.config.delays) == (16, MOSHI_DELAYS)
    assert generator(random_codes(generator.config)).audio_logits.shape == (2, 8, 9, 32)
    small = HierarchicalGenerator(text_model=HeliumModel(HELIUM), audio_model=DepthTransformer(DEPTH))
    assert small.config.delays == MOSHI.delays


def test_parts_that_do_not_fit_are_refused() -> None:
    depth = DepthTransformer(DEPTH)
    with refused(None, "text_model", "audio_model", "HeliumModel", "NoneType"):
        HierarchicalGenerator(audio_model=depth)
    with refused(None, "HeliumModel and Linear"):
        HierarchicalGenerator(text_model=HeliumModel(HELIUM), audio_model=torch.nn.Linear(1, 1))
    with refused(None, "depth.input_dim 16 must equal helium.dim 32"):
        HierarchicalGenerator(text_model=HeliumModel(HELIUM.replace(dim=32)), audio_model=depth)


def test_variants_of_the_official_family() -> None:
    """No depth transformer, extra heads, a condition: the shapes of speech-to-text and Hibiki."""
    listener = HierarchicalGenerator(MOSHI.replace(depth=None, extra_heads=2, delays=(0,) * 7)).requires_grad_(False)
    out = listener(random_codes())
    assert out.audio_logits.shape == (2, 0, 9, 32) and out.audio_mask.shape == (2, 0, 9)
    assert len(listener.extra_heads) == 2
    answer = listener.stream(1, text_temperature=0).step(torch.zeros(1, 6, dtype=torch.int64))
    assert answer.shape == (1, 1)

    told = small_generator(MOSHI.replace(condition_bins=3)).requires_grad_(False)
    codes = random_codes()
    unsaid, first, second = (told(codes, condition=c).text_logits for c in (None, 0, 1))
    assert not torch.equal(first, second) and not torch.equal(first, unsaid)


def test_both_audio_streams_may_be_predicted() -> None:
    """As in models whose depth transformer also plays the user: nothing is left to be given."""
    config = MOSHI.replace(depth=DEPTH.replace(dep_q=6))
    generator = small_generator(config).requires_grad_(False)
    assert generator(random_codes(config)).audio_logits.shape == (2, 6, 9, 32)
    stream = generator.stream(2, seed=0)
    assert stream.step() is None
    assert stream.step().shape == (2, 7)


@pytest.mark.parametrize(
    "codes, words",
    [
        (torch.zeros(1, 6, 4, dtype=torch.int64), ["[B, 7, T]", "[1, 6, 4]"]),
        (torch.zeros(1, 7, 0, dtype=torch.int64), ["[1, 7, 0]"]),
        (torch.zeros(7, 4, dtype=torch.int64), ["[7, 4]"]),
        (torch.zeros(1, 7, 4), ["int64", "float32"]),
        (torch.full((1, 7, 4), 21), ["-1..20 for text", "21..21"]),
        (torch.cat([torch.zeros(1, 6, 4), torch.full((1, 1, 4), 33)], dim=1).long(), ["-1..32 for audio", "0..33"]),
        (torch.full((1, 7, 4), -2), ["-2..-2"]),
    ],
)
def test_bad_codes_are_refused(codes: torch.Tensor, words: list[str]) -> None:
    with refused(None, *words):
        small_generator()(codes)


def test_an_untrained_model_can_ship_as_a_seed(tmp_path: Path) -> None:
    """config.json alone, with the seed of its random weights: always the same model, which says it is untrained."""
    generator = small_generator()
    generator.save_pretrained(tmp_path)
    assert HierarchicalGenerator.from_pretrained(tmp_path).trained
    (tmp_path / "model.safetensors").unlink()
    card = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(card.replace("{", '{"trained": false, "seed": 5,', 1))
    first, second = (HierarchicalGenerator.from_pretrained(tmp_path) for _ in range(2))
    assert not first.trained
    codes = random_codes()
    assert_same(first(codes).text_logits, second(codes).text_logits, 0)


def test_an_untrained_generator_says_so_wherever_it_goes(tmp_path: Path) -> None:
    shipped = HierarchicalGenerator.from_pretrained("tiny")
    shipped.save_pretrained(tmp_path)
    again = HierarchicalGenerator.from_pretrained(tmp_path)
    assert again.trained is shipped.trained
    generator = small_generator()
    assert generator.trained
    generator.trained = False
    generator.save_pretrained(tmp_path)
    assert not HierarchicalGenerator.from_pretrained(tmp_path).trained
