"""The dialogue: 80 ms in, 80 ms out, and a record of both sides that is one time-aligned grid."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch

from minimoshi.config import EPAD_ID, PAD_ID
from minimoshi.mimi import MimiAudioCodec
from minimoshi.moshi import Dialogue, FullDuplexDialogueModel, HierarchicalGenerator
from minimoshi.moshi.dialogue import PATIENCE, _words
from minimoshi.sampling import Sampling
from minimoshi.text import TextTokenizer
from tests.helpers import MOSHI, SPEECH_MIMI, assert_same, refused, same_weights, small_codec, small_generator

GREEDY = dict(temperature=0, text_temperature=0)


def dialogue_model(tokenizer: TextTokenizer, **changes) -> FullDuplexDialogueModel:
    card = tokenizer.vocab_size
    config = MOSHI.replace(
        helium=MOSHI.helium.replace(text_card=card), depth=MOSHI.depth.replace(text_card=card), **changes
    )
    return FullDuplexDialogueModel(
        codec=small_codec(SPEECH_MIMI), generator=small_generator(config), tokenizer=tokenizer
    ).requires_grad_(False)


@pytest.fixture(scope="module")
def model(tokenizer: TextTokenizer) -> FullDuplexDialogueModel:
    torch.manual_seed(0)
    return dialogue_model(tokenizer)


def sound(frames: float = 6) -> torch.Tensor:
    return 0.3 * torch.randn(int(frames * 1920))


def test_every_call_is_answered_from_the_first(model: FullDuplexDialogueModel) -> None:
    session, wav = model.session(seed=0), sound(4)
    for index, pcm in enumerate(wav.split(1920)):
        frame = session.step(pcm)
        assert frame.pcm.shape == (1920,) and frame.pcm.dtype == torch.float32 and torch.isfinite(frame.pcm).all()
        assert frame.codes.shape == (3,) and frame.user_codes.shape == (3,)
        assert 0 <= frame.token < model.config.helium.text_card
        assert torch.equal(frame.user_codes, model.codec.encode(wav[None, None])[0, :3, index])
        assert frame.text is None or isinstance(frame.text, str)


def test_the_very_first_sound_is_heard(model: FullDuplexDialogueModel) -> None:
    """Other codes in the first 80 ms, other answer: nothing the user says is lost to the generator's first call."""
    wav = sound(12)
    other = torch.cat([torch.zeros(1920), wav[1920:]])
    first, second = (model.respond(w, silence_after=0, **GREEDY) for w in (wav, other))
    assert not torch.equal(first.codes[4:, 0], second.codes[4:, 0])
    assert torch.equal(first.codes[4:, 8:], second.codes[4:, 8:]), "this test needs both to say the same later on"
    assert not torch.equal(first.codes[:4], second.codes[:4])


@pytest.mark.parametrize("seconds, silence, frames", [(0.08, 0, 1), (0.1, 0, 2), (0.5, 0.3, 10), (0.01, 3.0, 38)])
def test_a_response_covers_the_recording_and_the_silence_after_it(
    model: FullDuplexDialogueModel, seconds: float, silence: float, frames: int
) -> None:
    wav = sound(seconds * 12.5)
    dialogue = model.respond(wav, seed=0, silence_after=silence)
    assert dialogue.stereo.shape == (2, frames * 1920)
    assert dialogue.codes.shape == (7, frames) and dialogue.codes.dtype == torch.int64
    assert torch.equal(dialogue.stereo[1, : len(wav)], wav) and not dialogue.stereo[1, len(wav) :].any()


def test_the_record_is_one_time_aligned_grid(model: FullDuplexDialogueModel) -> None:
    """Left is the decoded rows of Moshi, right encodes to the rows of the user, and the generator, shown the grid in
    training, would have said the same."""
    dialogue = model.respond(sound(8), silence_after=0, **GREEDY)
    codes = dialogue.codes[None]
    assert_same(model.codec.decode(codes[:, 1:4])[0, 0], dialogue.stereo[0])
    assert torch.equal(model.codec.encode(dialogue.stereo[1][None, None])[:, :3], codes[:, 4:])
    out = model.generator(codes)
    assert torch.equal(out.text_logits.argmax(-1), codes[:, :1])
    assert torch.equal(out.audio_logits.argmax(-1)[out.audio_mask], codes[:, 1:4][out.audio_mask])


def test_words_are_the_text_tokens_in_their_frames(model: FullDuplexDialogueModel) -> None:
    dialogue = model.respond(sound(40), seed=3, silence_after=0, text_temperature=2.0)
    stream = model.tokenizer.stream()
    said = [stream.push(int(token)) for token in dialogue.codes[0]]
    assert dialogue.text and "".join(piece or "" for piece in said).split() == dialogue.transcript.split()
    starts = [start for _, start in dialogue.text]
    assert starts == sorted(starts) and 0 <= starts[0] and starts[-1] < 40 * 0.08


@pytest.mark.parametrize(
    "pieces, words",
    [
        ([None, " he", "llo", None, " there"], [("hello", 0.08), ("there", 0.32)]),
        (["lo", " x"], [("lo", 0.0), ("x", 0.08)]),
        ([" ", "a", "b"], [("ab", 0.0)]),
        ([None, None], []),
    ],
)
def test_pieces_become_timed_words(pieces: list, words: list) -> None:
    assert _words(pieces, 0.08) == words


def test_a_longer_delay_is_silent_first(tokenizer: TextTokenizer) -> None:
    model = dialogue_model(tokenizer, delays=(0, 0, 3, 3, 0, 3, 3))
    dialogue = model.respond(sound(5), seed=0, silence_after=0)
    assert (dialogue.codes[:4, :2] == -1).all() and (dialogue.codes[:4, 2:] >= 0).all()
    assert not dialogue.stereo[0, : 2 * 1920].any() and dialogue.stereo[0, 2 * 1920 :].any()


def test_seeds_decide_and_sessions_are_independent(model: FullDuplexDialogueModel) -> None:
    wav = sound(5)
    first, again, other = (model.respond(wav, seed=seed, silence_after=0) for seed in (1, 1, 2))
    assert torch.equal(first.stereo, again.stereo) and torch.equal(first.codes, again.codes)
    assert not torch.equal(first.codes, other.codes)
    one, two = model.session(seed=1), model.session(seed=2)
    answers = []
    for pcm in wav.split(1920):
        answers.append(one.step(pcm))
        two.step(torch.zeros(1920))
    assert torch.equal(torch.cat([frame.pcm for frame in answers]), first.stereo[0])


def same_frames(got: list, expected: list) -> None:
    """Equal tokens and words; sound equal but for the rounding of batched sums."""
    for frame, single in zip(got, expected, strict=True):
        assert (frame.token, frame.text) == (single.token, single.text)
        assert torch.equal(frame.user_codes, single.user_codes)
        assert (frame.codes is None) == (single.codes is None)
        assert frame.codes is None or torch.equal(frame.codes, single.codes)
        assert_same(frame.pcm, single.pcm)


@pytest.mark.parametrize("options", [GREEDY, {}], ids=["greedy", "sampled"])
@pytest.mark.parametrize("delay", [1, 2])
def test_a_batch_answers_like_single_sessions(tokenizer: TextTokenizer, options: dict, delay: int) -> None:
    """Row 0 goes on throughout, row 1 stands still every other call, row 2 is begun anew in the middle."""
    model = dialogue_model(tokenizer, delays=(0, 0, delay, delay, 0, delay, delay))
    calls, sounds = 8, sound(24).view(3, 8, 1920)
    batch = model.sessions(3, seeds=[1, 2, 3], **options)
    answers: list[list] = [[], [], []]
    for call in range(calls):
        if call == 4:
            batch.start(2, seed=4)
        active = torch.tensor([True, call % 2 == 0, True])
        frames = batch.step(sounds[:, call], active)
        assert [frame is None for frame in frames] == (~active).tolist()
        for row, frame in enumerate(frames):
            answers[row] += [frame] if frame else []
    first, second = model.session(1, **options), model.session(2, **options)
    third, anew = model.session(3, **options), model.session(4, **options)
    same_frames(answers[0], [first.step(pcm) for pcm in sounds[0]])
    same_frames(answers[1], [second.step(pcm) for pcm in sounds[1, ::2]])
    same_frames(answers[2], [third.step(pcm) for pcm in sounds[2, :4]] + [anew.step(pcm) for pcm in sounds[2, 4:]])


def test_a_batch_refuses_what_does_not_fit(model: FullDuplexDialogueModel) -> None:
    batch = model.sessions(2)
    for state in (batch.codec_state, batch.stream.state):
        with refused(state, "1920", "2 conversations", "[3] of shape [1920]"):
            batch.step(torch.zeros(3, 1920))
        with refused(state, "bool [2]", "[3]"):
            batch.step(torch.zeros(2, 1920), torch.ones(3, dtype=torch.bool))
        with refused(state, "0 to 1", "got 2"):
            batch.start(2)
    with refused(None, "a seed for each", "2"):
        model.sessions(2, seeds=[1])
    assert batch.step(torch.zeros(2, 1920), torch.zeros(2, dtype=torch.bool)) == [None, None]


def test_told_to_speak_the_next_text_token_is_epad(model: FullDuplexDialogueModel) -> None:
    session, wav = model.session(seed=0, pad_bonus=50), sound(5)
    tokens = []
    for index, pcm in enumerate(wav.split(1920)):
        if index == 2:
            session.speak()
        tokens.append(session.step(pcm).token)
    assert tokens == [PAD_ID] * 3 + [EPAD_ID, PAD_ID]  # a frame is complete one call after its text


def test_told_what_to_say_it_says_it_and_goes_on(model: FullDuplexDialogueModel) -> None:
    session = model.session(seed=0, pad_bonus=50)
    session.say("my name is anna")
    frames = [session.step(pcm) for pcm in sound(60).split(1920)]
    said = "".join(frame.text or "" for frame in frames)
    assert said.split() == ["my", "name", "is", "anna"]
    tokens = [frame.token for frame in frames[1:]]
    assert tokens[0] == EPAD_ID and tokens[1] not in (PAD_ID, EPAD_ID)
    starts = [index for index, frame in enumerate(frames) if frame.text and frame.text.startswith(" ")]
    gaps = [b - a for a, b in zip(starts, starts[1:], strict=False)]
    assert all(PATIENCE < gap < PATIENCE + 6 for gap in gaps), "a silent model is urged on"
    assert tokens[-8:] == [PAD_ID] * 8


def test_a_text_is_said_and_no_other(model: FullDuplexDialogueModel) -> None:
    spoken = model.say("three plus four", seed=0, pad_bonus=50)
    assert spoken.transcript == "three plus four" and spoken.stereo.shape[1] % 1920 == 0
    again = model.say("three plus four", seed=0, pad_bonus=50)
    assert torch.equal(spoken.stereo, again.stereo)
    with refused(None, "nothing to say"):
        model.say("  ")


def test_when_a_word_begins_is_the_models_choice(model: FullDuplexDialogueModel) -> None:
    batch = model.sessions(1, seeds=[0])
    batch.say(0, "one two three")
    one, two, three = (model.tokenizer.encode(word) for word in ("one", "two", "three"))

    def draw(token: int) -> int:
        return batch._forced_text(torch.tensor([True]))(torch.tensor([token])).item()

    assert [draw(40) for _ in one] == one  # a word's tokens follow each other, whatever is drawn
    assert [draw(PAD_ID), draw(PAD_ID)] == [PAD_ID] * 2
    assert [draw(41) for _ in two] == two
    assert draw(EPAD_ID) == EPAD_ID and [draw(PAD_ID) for _ in three] == three
    assert not batch.saying(0) and batch._forced_text(torch.tensor([True])) is None


def test_each_conversation_is_told_its_own_words(model: FullDuplexDialogueModel) -> None:
    batch = model.sessions(2, seeds=[1, 2], pad_bonus=50)
    batch.say(1, "seven")
    frames = [batch.step(torch.zeros(2, 1920)) for _ in range(12)]
    assert ["".join(frame[row].text or "" for frame in frames).strip() for row in range(2)] == ["", "seven"]
    batch.say(1, "seven")
    batch.start(1)
    frames = [batch.step(torch.zeros(2, 1920)) for _ in range(6)]
    assert not any(frame[1].text for frame in frames), "a new conversation owes nothing to the old one"


BAD = {
    "short": (lambda: torch.zeros(1000), ["1920", "[1000]"]),
    "two frames": (lambda: torch.zeros(3840), ["1920", "[3840]"]),
    "channels": (lambda: torch.zeros(1, 1920), ["1920", "[1, 1920]"]),
    "integer": (lambda: torch.zeros(1920, dtype=torch.int16), ["float", "int16"]),
    "NaN": (lambda: torch.full((1920,), float("nan")), ["NaN"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_frame_is_refused_and_the_session_goes_on(model: FullDuplexDialogueModel, case: str) -> None:
    make, words = BAD[case]
    wav = sound(4)
    expected = model.respond(wav, silence_after=0, **GREEDY)
    session, answers = model.session(**GREEDY), []
    for index, pcm in enumerate(wav.split(1920)):
        if index == 2:
            for state in (session.codec_state, session.stream.state):
                with refused(state, *words):
                    session.step(make())
        answers.append(session.step(pcm))
    assert torch.equal(torch.cat([frame.pcm for frame in answers]), expected.stereo[0])


@pytest.mark.parametrize(
    "wav, words",
    [
        (torch.zeros(2, 4000), ["mono", "[S]", "[2, 4000]"]),
        (torch.zeros(0), ["[0]"]),
        (torch.zeros(4000, dtype=torch.int16), ["float", "int16"]),
        (torch.full((4000,), torch.inf), ["infinite"]),
    ],
)
def test_bad_recordings_are_refused(model: FullDuplexDialogueModel, wav: torch.Tensor, words: list[str]) -> None:
    with refused(None, *words):
        model.respond(wav)


def test_negative_silence_is_refused(model: FullDuplexDialogueModel) -> None:
    with refused(None, "silence_after", "-1"):
        model.respond(sound(), silence_after=-1)


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue(
        torch.stack([torch.full((3840,), 0.5), torch.full((3840,), -0.25)]),
        [("hello", 0.08), ("there", 0.16)],
        torch.zeros(7, 2, dtype=torch.int64),
    )


def test_saved_as_stereo_and_timed_words(dialogue: Dialogue, tmp_path: Path) -> None:
    dialogue.save(tmp_path / "talk.wav")
    samples, rate = soundfile.read(tmp_path / "talk.wav")
    assert rate == 24_000 and samples.shape == (3840, 2)
    assert samples[0] == pytest.approx([0.5, -0.25], abs=1e-4)
    assert json.loads((tmp_path / "talk.json").read_text()) == {
        "text": "hello there",
        "words": [{"text": "hello", "start": 0.08}, {"text": "there", "start": 0.16}],
    }


@pytest.mark.parametrize("existing", ["talk.wav", "talk.json"])
def test_existing_files_are_kept_unless_forced(dialogue: Dialogue, tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    with refused(None, existing, "exists", "force"):
        dialogue.save(tmp_path / "talk.wav")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "mine")]
    dialogue.save(tmp_path / "talk.wav", force=True)
    assert json.loads((tmp_path / "talk.json").read_text())["text"] == "hello there"
    assert soundfile.info(tmp_path / "talk.wav").frames == 3840


def test_a_missing_folder_is_refused(dialogue: Dialogue, tmp_path: Path) -> None:
    with refused(None, "missing", "does not exist", error=FileNotFoundError):
        dialogue.save(tmp_path / "missing" / "talk.wav")


def test_parts_that_do_not_fit_are_refused(tokenizer: TextTokenizer) -> None:
    with refused(None, "codec has 16 entries", "expects 32"):
        FullDuplexDialogueModel(
            codec=MimiAudioCodec(SPEECH_MIMI.replace(codebook_size=16)), generator=small_generator()
        )
    with refused(None, "codec gives 2 codebooks", "needs 3"):
        FullDuplexDialogueModel(codec=MimiAudioCodec(SPEECH_MIMI.replace(n_quantizers=2)), generator=small_generator())
    with refused(None, f"{tokenizer.vocab_size} pieces", "only 20"):
        FullDuplexDialogueModel(MOSHI, tokenizer=tokenizer)


def test_built_from_a_config_or_from_parts(model: FullDuplexDialogueModel) -> None:
    alone = FullDuplexDialogueModel(MOSHI)
    assert alone.config == MOSHI and alone.codec.config == SPEECH_MIMI
    assert model.config.mimi == model.codec.config and isinstance(model.generator, HierarchicalGenerator)


def test_saved_and_loaded_it_says_the_same(model: FullDuplexDialogueModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    loaded = FullDuplexDialogueModel.from_pretrained(tmp_path)
    assert same_weights(loaded, model) and loaded.config == model.config
    wav = sound(4)
    ours, theirs = (m.respond(wav, seed=5, silence_after=0.2) for m in (model, loaded))
    assert torch.equal(ours.stereo, theirs.stereo) and ours.text == theirs.text


def test_without_a_tokenizer_there_are_tokens_but_no_words() -> None:
    model = FullDuplexDialogueModel(codec=small_codec(SPEECH_MIMI), generator=small_generator())
    with refused(None, "no tokenizer"):
        model.session().say("hello")
    dialogue = model.respond(sound(3), seed=0, silence_after=0)
    assert dialogue.text == [] and dialogue.transcript == "" and (dialogue.codes[0] >= 0).all()


def test_a_model_brings_along_how_it_is_sampled(model: FullDuplexDialogueModel, tmp_path: Path) -> None:
    own = Sampling(temperature=0.6, text_temperature=0.0)
    model.generator.save_pretrained(tmp_path / "usual")
    assert "sampling" not in json.loads((tmp_path / "usual" / "config.json").read_text())
    model.generator.sampling = own
    try:
        model.generator.save_pretrained(tmp_path / "own")
        model.save_pretrained(tmp_path / "whole")
    finally:
        model.generator.sampling = Sampling()
    loaded = HierarchicalGenerator.from_pretrained(tmp_path / "own")
    assert loaded.sampling == own == FullDuplexDialogueModel.from_pretrained(tmp_path / "whole").sampling
    assert loaded.stream().sampling == own and loaded.stream(temperature=0.0).sampling == replace(own, temperature=0.0)
    card = json.loads((tmp_path / "own" / "config.json").read_text())
    (tmp_path / "own" / "config.json").write_text(json.dumps(card | {"sampling": {"heat": 1}}))
    with refused(None, "fields of Sampling"):
        HierarchicalGenerator.from_pretrained(tmp_path / "own")


def test_a_generator_alone_gets_the_tiny_codec(tmp_path: Path) -> None:
    shipped = FullDuplexDialogueModel.from_pretrained("tiny")
    shipped.generator.save_pretrained(tmp_path / "generator")
    alone = FullDuplexDialogueModel.from_pretrained(tmp_path / "generator")
    assert same_weights(alone, shipped) and alone.sampling == shipped.sampling and not alone.training
    assert alone.tokenizer is not None and alone.tokenizer.vocab_size == shipped.tokenizer.vocab_size
    listens = HierarchicalGenerator(shipped.generator.config.transcriber(2))
    listens.save_pretrained(tmp_path / "ears")
    with pytest.raises(ValueError, match="only listens: Transcriber"):
        FullDuplexDialogueModel.from_pretrained(tmp_path / "ears")
