"""The step stream: order of events, seeds, forced tokens, and what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimoshi.config import EPAD_ID, PAD_ID
from minimoshi.moshi import HierarchicalGenerator
from minimoshi.moshi.grid import UNGENERATED
from minimoshi.sampling import sample
from tests.helpers import DEPTH, MOSHI, assert_same, contents, refused, small_generator


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


@pytest.mark.parametrize("options", [dict(temperature=0, text_temperature=0), dict(repetition_penalty=1.5)], ids=str)
@settings(max_examples=8)
@given(data=st.data())
def test_rows_begin_anew_and_stand_still_on_their_own(
    generator: HierarchicalGenerator, options: dict, data: st.DataObject
) -> None:
    """Whatever its neighbours do, a row answers like a stream of its own that hears the same."""
    batch, calls, seeds = 3, 12, [5, 6, 7]
    flags = st.lists(st.booleans(), min_size=batch, max_size=batch)
    together, heard = generator.stream(batch, seed=seeds, **options), user(calls, batch)
    alone = [generator.stream(seed=seed, **options) for seed in seeds]
    for call in range(calls):
        if call and data.draw(st.booleans(), "reset?"):
            anew = torch.tensor(data.draw(flags, "reset"))
            together.state.reset(anew)
            for row in anew.nonzero().flatten().tolist():
                alone[row] = generator.stream(seed=seeds[row], **options)
        active = torch.tensor(data.draw(flags, "active"))
        answer = together.step(heard[call], active=active)
        expected = [alone[row].step(heard[call, row : row + 1]) if active[row] else None for row in range(batch)]
        assert (answer is None) == all(one is None for one in expected)
        nothing = torch.full((1, 4), UNGENERATED)
        if answer is not None:
            assert torch.equal(answer, torch.cat([nothing if one is None else one for one in expected]))


@pytest.mark.parametrize("delay", [0, 3])
def test_a_row_is_ungenerated_until_its_own_delay_is_over(delay: int) -> None:
    generator = small_generator(MOSHI.replace(delays=(0, 0, delay, delay, 0, delay, delay)))
    stream, heard = generator.stream(2, seed=0), user(9, 2)
    for frame in heard[:4]:
        stream.step(frame)
    stream.state.reset(torch.tensor([False, True]))
    answers = torch.stack([stream.step(frame) for frame in heard[4:]])
    assert (answers[:, 0] >= 0).all()
    assert (answers[:delay, 1] == UNGENERATED).all() and (answers[delay:, 1] >= 0).all()


def test_a_restarted_row_has_a_seed_of_its_own(generator: HierarchicalGenerator) -> None:
    heard = user(6, 2)
    stream, fresh = generator.stream(2, seed=0), generator.stream(seed=9)
    for frame in heard:
        stream.step(frame)
    stream.restart(1, seed=9)
    for frame in heard:
        answer, expected = stream.step(frame), fresh.step(frame[1:])
        assert torch.equal(answer[1:], expected if expected is not None else torch.full((1, 4), UNGENERATED))


def test_from_one_seed_the_rows_count_up(generator: HierarchicalGenerator) -> None:
    heard = user(8, 3)
    assert torch.equal(play(generator, heard, seed=4), play(generator, heard, seed=[4, 5, 6]))
    assert torch.equal(play(generator, heard, seed=4)[1:2], play(generator, heard[:, 1:2], seed=5))
    with refused(None, "one seed per row, 3", "got 2"):
        generator.stream(3, seed=[1, 2])


def test_a_snapshot_holds_the_random_numbers_too(generator: HierarchicalGenerator) -> None:
    stream, heard = generator.stream(seed=3), user(8)
    for frame in heard[:4]:
        stream.step(frame)
    snapshot = stream.state.clone()
    first = [stream.step(frame) for frame in heard[4:]]
    stream.state = snapshot
    assert all(torch.equal(a, b) for a, b in zip(first, [stream.step(frame) for frame in heard[4:]], strict=True))


def test_when_nobody_moves_nothing_does(generator: HierarchicalGenerator) -> None:
    stream, heard = generator.stream(2, seed=0), user(3, 2)
    stream.step(heard[0])
    before = contents(stream.state)
    assert stream.step(heard[1], active=torch.zeros(2, dtype=torch.bool)) is None
    assert all(torch.equal(a, b) for a, b in zip(before, contents(stream.state), strict=True))


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


def test_given_tokens_leave_the_rest_free(generator: HierarchicalGenerator) -> None:
    """-2 in `text` and `audio`: here the model chooses, knowing what is given."""
    heard, greedy = user(6, 2), dict(temperature=0, text_temperature=0)
    free = play(generator, heard, **greedy)
    stream = generator.stream(2, **greedy)
    text, audio = torch.tensor([7, UNGENERATED]), torch.full((2, 3), UNGENERATED)
    audio[0, 1] = 9
    answers = torch.stack([stream.step(frame, text=text, audio=audio) for frame in heard][1:], dim=2)
    assert torch.equal(answers[1], free[1])
    assert (answers[0, 0] == 7).all() and (answers[0, 2] == 9).all() and not torch.equal(answers[0, 3], free[0, 3])


@pytest.mark.parametrize("temperatures", [dict(temperature=0, text_temperature=0), dict(seed=2)], ids=str)
def test_a_bonus_for_silence(generator: HierarchicalGenerator, temperatures: dict) -> None:
    heard = user(30)
    silent = {bonus: play(generator, heard, pad_bonus=bonus, **temperatures)[0, 0] == PAD_ID for bonus in (-50, 0, 50)}
    assert not silent[-50].any() and silent[50].all() and not silent[0].all()
    assert torch.equal(play(generator, heard, **temperatures), play(generator, heard, pad_bonus=0.0, **temperatures))


@pytest.mark.parametrize("context", [0, 1, 4, 64])
def test_what_was_said_lately_is_said_less(
    generator: HierarchicalGenerator, context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the rule written out: the last tokens that are not silent, each once, as the official server counts."""
    seen: list[torch.Tensor] = []

    def recording(logits: torch.Tensor, *options) -> torch.Tensor:
        seen.append(logits.clone())
        return sample(logits, *options)

    monkeypatch.setattr("minimoshi.moshi.stream.sample", recording)
    heard = user(25, 2)
    stream = generator.stream(2, seed=0, repetition_penalty=1.7, repetition_context=context)
    plain = generator.stream(2, seed=0)
    said: list[list[int]] = [[], []]
    for call, frame in enumerate(heard):
        text, audio = torch.randint(20, (2,)), torch.randint(32, (2, 3))
        text[call % 2] = [PAD_ID, EPAD_ID, 7, 8][call % 4]
        for one in (stream, plain):
            one.step(frame, text=text, audio=audio)
        penalised, expected = seen[-2], seen[-1].clone()
        for row in range(2):
            for token in set(said[row][-context:] if context else []):
                logit = expected[row, token]
                expected[row, token] = logit / 1.7 if logit >= 0 else logit * 1.7
            said[row] += [token for token in [int(text[row])] if token not in (PAD_ID, EPAD_ID)]
        assert_same(penalised, expected)
    assert (seen[-2] != seen[-1]).any() == (context > 0)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(temperature=-1), ["greedy", "-1"]),
        (dict(text_temperature=-0.5), ["greedy", "-0.5"]),
        (dict(pad_bonus=float("inf")), ["pad_bonus", "inf"]),
        (dict(repetition_penalty=0.5), ["repetition_penalty", "0.5"]),
        (dict(repetition_context=-1), ["repetition_context", "-1"]),
    ],
)
def test_bad_sampling_is_refused(generator: HierarchicalGenerator, options: dict, words: list[str]) -> None:
    with refused(None, *words):
        generator.stream(**options)


@pytest.fixture(scope="module")
def both() -> HierarchicalGenerator:
    """Its depth transformer predicts the user as well."""
    torch.manual_seed(0)
    return small_generator(MOSHI.replace(depth=DEPTH.replace(dep_q=6))).requires_grad_(False)


def test_both_sides_hear_themselves(both: HierarchicalGenerator) -> None:
    """Told what it predicted of the user anyway, it goes on in the same way; told otherwise, it listens."""
    greedy, calls = dict(temperature=0, text_temperature=0), 10
    stream = both.stream(2, **greedy)
    free = [stream.step() for _ in range(calls)]
    assert free[0] is None and all(frame.shape == (2, 7) for frame in free[1:])
    told = both.stream(2, **greedy)
    told.step()
    for frame in free[1:]:
        assert torch.equal(told.step(frame[:, 4:]), frame)
    other = both.stream(2, **greedy)
    other.step()
    heard = torch.randint(MOSHI.card, (calls - 1, 2, 3))
    answers = [other.step(codes) for codes in heard]
    for codes, answer in zip(heard, answers, strict=True):
        assert torch.equal(answer[:, 4:], codes)
    assert any(not torch.equal(answer[:, :4], frame[:, :4]) for answer, frame in zip(answers, free[1:], strict=True))
    with refused(other.state, "int64 [2, 3]", "[2, 6]"):
        other.step(torch.zeros(2, 6, dtype=torch.int64))


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
    "active of another batch": (
        lambda: dict(user_codes=user(1)[0], active=torch.ones(2, dtype=torch.bool)),
        ["bool [1]", "[2]"],
    ),
    "active as numbers": (lambda: dict(user_codes=user(1)[0], active=torch.ones(1)), ["bool [1]", "float32"]),
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
