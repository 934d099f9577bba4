"""The step stream: order of events, seeds, forced tokens, and what it refuses."""

import pytest
import torch

from minimoshi.moshi import HierarchicalGenerator
from tests.helpers import MOSHI, refused, small_generator


@pytest.fixture(scope="module")
def generator() -> HierarchicalGenerator:
    torch.manual_seed(0)
    return small_generator().requires_grad_(False)


def user(calls: int, batch: int = 1) -> torch.Tensor:
    return torch.randint(MOSHI.card, (calls, batch, MOSHI.n_user))


def play(generator: HierarchicalGenerator, heard: torch.Tensor, **options) -> torch.Tensor:
    """The frames [B, 1 + dep_q, F] that a stream answers with."""
    stream = generator.stream(heard.shape[1], **options)
    return torch.stack([answer for frame in heard if (answer := stream.step(frame)) is not None], dim=2)


@pytest.mark.parametrize("delay", [0, 1, 2, 3])
def test_silent_until_the_acoustic_delay_is_over(delay: int) -> None:
    generator = small_generator(MOSHI.replace(delays=(0, 0, delay, delay, 0, delay, delay)))
    stream = generator.stream(2, seed=0)
    answers = [stream.step(frame) for frame in user(6, 2)]
    assert [answer is None for answer in answers] == [call < delay for call in range(6)]
    for answer in answers[delay:]:
        assert answer.shape == (2, 4) and answer.dtype == torch.int64
        assert (answer >= 0).all() and (answer[:, 0] < 20).all() and (answer[:, 1:] < 32).all()


def test_temperature_zero_needs_no_seed(generator: HierarchicalGenerator) -> None:
    heard = user(12, 2)
    first, second = (play(generator, heard, temperature=0, text_temperature=0) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(play(generator, heard, top_k=1, text_top_k=1, seed=4), first)


def test_a_seed_decides_and_leaves_the_global_random_state_alone(generator: HierarchicalGenerator) -> None:
    heard, before = user(12), torch.get_rng_state()
    first, again, other = (play(generator, heard, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_the_user_says_changes_the_answer_except_in_the_first_call(generator: HierarchicalGenerator) -> None:
    heard = user(12)
    greedy = dict(temperature=0, text_temperature=0)
    answer = play(generator, heard, **greedy)
    for call in (0, 1):
        changed = heard.clone()
        changed[call] = (changed[call] + 5) % MOSHI.card
        assert torch.equal(play(generator, changed, **greedy), answer) == (call == 0)


def test_rows_of_a_batch_are_independent(generator: HierarchicalGenerator) -> None:
    heard, greedy = user(12, 3), dict(temperature=0, text_temperature=0)
    together = play(generator, heard, **greedy)
    for row in range(3):
        assert torch.equal(play(generator, heard[:, row : row + 1], **greedy), together[row : row + 1])


def test_streams_of_one_generator_are_independent(generator: HierarchicalGenerator) -> None:
    heard, greedy = user(8), dict(temperature=0, text_temperature=0)
    alone = play(generator, heard, **greedy)
    one, other = generator.stream(**greedy), generator.stream(seed=9)
    answers = []
    for frame in heard:
        other.step(torch.zeros_like(frame))
        answers.append(one.step(frame))
    assert torch.equal(torch.stack(answers[1:], dim=2), alone)


def test_a_copy_of_the_state_is_a_snapshot_to_return_to(generator: HierarchicalGenerator) -> None:
    stream, heard = generator.stream(temperature=0, text_temperature=0), user(8)
    for frame in heard[:4]:
        stream.step(frame)
    snapshot = stream.state.clone()
    first = [stream.step(frame) for frame in heard[4:]]
    stream.state = snapshot
    assert all(torch.equal(a, b) for a, b in zip(first, [stream.step(frame) for frame in heard[4:]], strict=True))


def test_a_reset_begins_a_new_conversation(generator: HierarchicalGenerator) -> None:
    stream, heard = generator.stream(temperature=0, text_temperature=0), user(6)
    first = [stream.step(frame) for frame in heard]
    stream.state.reset()
    for tensor, fresh in zip(stream.state.tensors(), generator.stream().state.tensors(), strict=True):
        assert torch.equal(tensor, fresh)
    second = [stream.step(frame) for frame in heard]
    assert second[0] is None
    assert all(torch.equal(a, b) for a, b in zip(first[1:], second[1:], strict=True))


def test_single_rows_cannot_begin_anew(generator: HierarchicalGenerator) -> None:
    stream = generator.stream(2)
    stream.step(user(1, 2)[0])
    with refused(stream.state, "begin together"):
        stream.state.reset(torch.tensor([True, False]))


def test_forced_tokens_come_out_as_one_frame(generator: HierarchicalGenerator) -> None:
    heard, text, audio = user(12), torch.randint(20, (12, 1)), torch.randint(32, (12, 1, 3))
    stream = generator.stream(seed=1)
    answers = [stream.step(frame, text=t, audio=a) for frame, t, a in zip(heard, text, audio, strict=True)]
    forced = torch.stack(answers[1:], dim=2)
    assert torch.equal(forced[0, 0], text[:-1, 0])
    assert torch.equal(forced[0, 1], audio[:-1, 0, 0])  # the semantic token is one call older than
    assert torch.equal(forced[0, 2:], audio[1:, 0, 1:].T)  # its acoustic tokens


def test_forced_text_changes_the_voice_at_once(generator: HierarchicalGenerator) -> None:
    """The depth transformer reads the forced token in the same call, the temporal transformer in the next."""
    frame, greedy = user(1)[0], dict(temperature=0, text_temperature=0)
    said = {}
    for token in range(20):
        stream = generator.stream(**greedy)
        stream.step(frame, text=torch.tensor([token]))
        said[token] = stream.step(frame, text=torch.tensor([0])).flatten().tolist()
    assert [said[token][0] for token in range(20)] == list(range(20))
    assert len({codes[1] for codes in map(tuple, said.values())}) > 1  # semantic code of the first call
    assert len({codes[2:] for codes in map(tuple, said.values())}) > 1  # acoustic codes of the second


def test_forcing_what_would_have_been_said_changes_nothing(generator: HierarchicalGenerator) -> None:
    heard, greedy = user(12), dict(temperature=0, text_temperature=0)
    expected = play(generator, heard, **greedy)
    text = expected[:, 0]  # [1, F]: the text token of call f is emitted as frame f
    stream = generator.stream(**greedy)
    answers = [stream.step(frame, text=text[:, call]) for call, frame in enumerate(heard[: text.shape[1]])]
    assert torch.equal(torch.stack(answers[1:], dim=2), expected[..., : len(answers) - 1])


BAD = {
    "too few": (lambda: dict(user_codes=torch.zeros(1, 2, dtype=torch.int64)), ["int64 [1, 3]", "[1, 2]"]),
    "too many": (lambda: dict(user_codes=torch.zeros(1, 6, dtype=torch.int64)), ["int64 [1, 3]", "[1, 6]"]),
    "other batch": (lambda: dict(user_codes=torch.zeros(2, 3, dtype=torch.int64)), ["int64 [1, 3]", "[2, 3]"]),
    "with time": (lambda: dict(user_codes=torch.zeros(1, 3, 1, dtype=torch.int64)), ["int64 [1, 3]", "[1, 3, 1]"]),
    "float": (lambda: dict(user_codes=torch.zeros(1, 3)), ["int64", "float32"]),
    "none": (lambda: dict(user_codes=None), ["int64 [1, 3]", "None"]),
    "list": (lambda: dict(user_codes=[1, 2, 3]), ["int64 [1, 3]", "[1, 2, 3]"]),
    "too large": (lambda: dict(user_codes=torch.full((1, 3), 33)), ["0..31", "33..33"]),
    "ungenerated": (lambda: dict(user_codes=torch.full((1, 3), -2)), ["0..31", "-2..-2"]),
    "text of another batch": (
        lambda: dict(user_codes=user(1)[0], text=torch.zeros(2, dtype=torch.int64)),
        ["text", "[1]", "[2]"],
    ),
    "text out of range": (lambda: dict(user_codes=user(1)[0], text=torch.tensor([21])), ["text", "21"]),
    "audio too few": (
        lambda: dict(user_codes=user(1)[0], audio=torch.zeros(1, 2, dtype=torch.int64)),
        ["audio", "[1, 3]", "[1, 2]"],
    ),
    "audio out of range": (lambda: dict(user_codes=user(1)[0], audio=torch.full((1, 3), 99)), ["audio", "99"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_the_stream_goes_on(generator: HierarchicalGenerator, case: str) -> None:
    make, words = BAD[case]
    heard, greedy = user(6), dict(temperature=0, text_temperature=0)
    expected = play(generator, heard, **greedy)
    stream, answers = generator.stream(**greedy), []
    for call, frame in enumerate(heard):
        if call == 3:
            with refused(stream.state, *words):
                stream.step(**make())
        answers.append(stream.step(frame))
    assert torch.equal(torch.stack(answers[1:], dim=2), expected)


def test_missing_and_initial_codes_are_allowed(generator: HierarchicalGenerator) -> None:
    """-1: nothing is known of the user; card: the user's stream has not begun."""
    stream = generator.stream(seed=0)
    stream.step(torch.full((1, 3), -1))
    assert stream.step(torch.full((1, 3), MOSHI.card)).shape == (1, 4)


def test_a_stream_runs_past_its_context(generator: HierarchicalGenerator) -> None:
    stream = generator.stream(temperature=0, text_temperature=0)
    sizes = [tensor.shape for tensor in stream.state.tensors()]
    for frame in user(40):
        stream.step(frame)
    assert [tensor.shape for tensor in stream.state.tensors()] == sizes
