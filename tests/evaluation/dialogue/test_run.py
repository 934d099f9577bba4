"""Free running: as in a live session, whatever the batch; and the whole card of a model that babbles."""

import argparse
import json

import numpy as np
import pytest
import torch

from minimoshi.config import EPAD_ID, PAD_ID
from minimoshi.data.miniworld.sound import Echo
from minimoshi.evaluation.dialogue import report
from minimoshi.evaluation.dialogue.cascade import Cascade, Rules
from minimoshi.evaluation.dialogue.command import add_arguments
from minimoshi.evaluation.dialogue.measures import judge_case
from minimoshi.evaluation.dialogue.run import Runner, fingerprint, load_model, step_milliseconds, text_words
from minimoshi.moshi import FullDuplexDialogueModel
from minimoshi.moshi.grid import UNGENERATED
from tests.evaluation.dialogue.conftest import read_tones, tone_words
from tests.helpers import MOSHI, SPEECH_MIMI, small_codec, small_generator


@pytest.fixture(scope="module")
def model(tokenizer) -> FullDuplexDialogueModel:
    torch.manual_seed(0)
    card = tokenizer.vocab_size
    config = MOSHI.replace(
        helium=MOSHI.helium.replace(text_card=card), depth=MOSHI.depth.replace(text_card=card)
    )
    codec, generator = small_codec(SPEECH_MIMI), small_generator(config)
    return FullDuplexDialogueModel(codec=codec, generator=generator, tokenizer=tokenizer).requires_grad_(False)


def test_a_batch_says_what_every_live_session_says(model, tmp_path):
    runner = Runner(model, tmp_path, seed=3, temperature=0.9, text_temperature=0.9)
    users = [0.3 * torch.randn(n * 1920) for n in (5, 9)]
    together = runner.converse(users, ["a", "b"])
    assert [grid.shape for grid in together] == [(4, 5), (4, 9)]
    for user, name, grid in zip(users, "ab", together, strict=True):
        assert torch.equal(runner.converse([user], [name])[0], grid)
        answer = runner._answer(grid)
        seed = int(report.digest(f"3/{name}"), 16) % 2**31
        live = model.session(seed, temperature=0.9, text_temperature=0.9).converse(user)
        assert torch.equal(live.codes[:4], grid)
        assert np.abs(answer.moshi - live.stereo[0].clamp(-1, 1).numpy()).max() < 1e-4
        assert [(w.text, pytest.approx(w.start)) for w in answer.words] == live.text


def test_a_half_duplex_model_hears_nothing_while_it_speaks(model, tmp_path):
    options = dict(seed=3, temperature=0.9, text_temperature=0.9)
    user = 0.3 * torch.randn(20 * 1920)
    other = user.clone()
    runners = [Runner(model, tmp_path, half_duplex=deaf, **options) for deaf in (False, True)]
    assert runners[0].folder != runners[1].folder
    said = runners[1].converse([user], ["a"])[0]
    spoken = next(t for t in range(20) if said[0, t] not in (UNGENERATED, EPAD_ID, PAD_ID))
    other[(spoken + 3) * 1920 : (spoken + 6) * 1920] = 0.3 * torch.randn(3 * 1920)  # it breaks in
    whole, deaf = ([r.converse([wav], ["a"])[0] for wav in (user, other)] for r in runners)
    assert torch.equal(deaf[0][:, : spoken + 8], deaf[1][:, : spoken + 8])
    assert not torch.equal(whole[0][:, : spoken + 8], whole[1][:, : spoken + 8])


def test_an_echo_is_what_a_microphone_beside_a_loudspeaker_hears(model, tmp_path):
    options = dict(seed=3, temperature=0.9, text_temperature=0.9)
    users = [0.1 * torch.randn(n * 1920) for n in (12, 9)]
    plain, faint, loud = (
        Runner(model, tmp_path, echo=echo, **options).converse(users, ["a", "b"])
        for echo in (None, Echo(-300.0, 0.2), Echo(0.0, 0.2))
    )
    assert all(map(torch.equal, plain, faint))
    assert not torch.equal(plain[0], loud[0])
    assert [grid.shape for grid in loud] == [(4, 12), (4, 9)]
    # a live session that hears its own sound 0.2 s later says the same
    seed, late = int(report.digest("3/a"), 16) % 2**31, 4800
    session, echo, said = model.session(seed, temperature=0.9, text_temperature=0.9), torch.zeros(late), []
    for pcm in users[0].split(1920):
        frame = session.step((pcm + echo[:1920]).clamp(-1, 1))
        echo = torch.cat([echo[1920:], frame.pcm])
        said.append(UNGENERATED if frame.token is None else frame.token)
    assert said == loud[0][0].tolist()


def test_what_was_generated_is_kept(world, model, tmp_path, monkeypatch):
    cases = [world.case("seen-greeting-00"), world.case("text-repeat-00")]
    options = dict(batch_size=1, progress=False, temperature=0.0, text_temperature=0.0)
    first = [answer.moshi for _, answer in Runner(model, tmp_path, **options)(cases)]
    assert len(first[0]) == cases[0].stereo().shape[1]
    monkeypatch.setattr(Runner, "converse", None)
    again = [answer.moshi for _, answer in Runner(model, tmp_path, **options)(cases)]
    assert all(map(np.array_equal, first, again))
    with pytest.raises(TypeError):  # another seed must run again
        list(Runner(model, tmp_path, seed=1, **options)(cases))
    before = fingerprint(model)
    weight = next(iter(model.generator.parameters()))
    kept = weight.clone()
    weight.flatten()[0] += 1
    assert fingerprint(model) != before
    weight.copy_(kept)
    assert fingerprint(model) == before
    narrow = model.config.replace(helium=model.config.helium.replace(context=5))
    other = FullDuplexDialogueModel(narrow, codec=model.codec, tokenizer=model.tokenizer)
    other.load_state_dict(model.state_dict())
    assert fingerprint(other) != before, "the same weights with another window are another model"


def test_text_tokens_become_timed_words(tokenizer):
    good, morning = tokenizer.encode("good"), tokenizer.encode("morning")
    row = [PAD_ID, EPAD_ID, *good, PAD_ID, EPAD_ID, *morning, PAD_ID]
    words = text_words(row, tokenizer)
    assert [word.text for word in words] == ["good", "morning"]
    assert words[0].start == pytest.approx(0.16) and words[0].end == pytest.approx(0.08 * (2 + len(good)))
    assert words[1].start == pytest.approx(0.08 * (4 + len(good)))


def test_models_and_generators_load(model, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path / "dialogue")
    assert fingerprint(load_model(str(tmp_path / "dialogue"))) == fingerprint(model)
    model.generator.save_pretrained(tmp_path / "generator")
    model.tokenizer.save(tmp_path / "generator")
    monkeypatch.setattr("minimoshi.mimi.MimiAudioCodec.from_pretrained", lambda name: model.codec)
    assert fingerprint(load_model(str(tmp_path / "generator"))) == fingerprint(model)
    with pytest.raises(FileNotFoundError):
        load_model(str(tmp_path / "nothing"))


def test_steps_are_timed(model):
    found = step_milliseconds(model, np.zeros(30 * 1920, np.float32))
    assert found["frames"] == 10 and 0 < found["median_ms"] <= found["p99_ms"]
    with pytest.raises(ValueError, match="more than 20 frames"):
        step_milliseconds(model, np.zeros(1920, np.float32))


# ---------------------------------------------------------------------------------------------------- the card


def options(*arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.fixture
def made(model, monkeypatch):
    monkeypatch.setattr(report, "load_model", lambda name: model)
    monkeypatch.setattr(report, "judge", lambda name, cache: read_tones)
    monkeypatch.setattr(report, "find_spec", lambda name: name != "resemblyzer" or None)
    monkeypatch.setattr("minimoshi.evaluation.dialogue.cascade.open_voice", tone_words)


def test_the_whole_card(world, tmp_path, made, monkeypatch, capsys):
    out = tmp_path / "card"
    base = ("toy", "--cases", world.folder, "--out", out, "--cache", tmp_path)
    beside = ("--baseline", "cascade", "half-duplex", "--beside", "twin=toy")
    asked = options(*base, *beside, "--groups", "seen", "control")
    some = [f"seen-{skill}-00" for skill in ("sum", "stop", "murmur", "manner")]
    cases = [case for case in world.cases if {case.name, case.facts["control"]} & set(some)]
    monkeypatch.setattr(report, "load_cases", lambda folder: cases)
    monkeypatch.setattr(report, "TIMED_SECONDS", 1)
    monkeypatch.setattr("minimoshi.evaluation.dialogue.read_aloud.SENTENCES", 2)
    assert report.run(asked) is None
    card = json.loads((out / "card.json").read_text())
    assert card["groups"] == {"seen": 4, "control": 2}
    assert card["systems"]["script"]["accuracy"]["seen"]["all"]["rate"] == 1
    assert card["systems"]["model"]["accuracy"]["seen"]["all"]["rate"] == 0
    assert {bar["what"]: bar["passed"] for bar in card["bars"]}["right answers, seen"] is False
    assert card["speaker"] is None and card["written_down"] is None
    assert card["read_aloud"]["of"] > 2 and card["real_time"]["median_ms"] > 0
    cascade = card["systems"]["cascade"]
    assert cascade["accuracy"]["seen"]["sum"]["rate"] == 1 and cascade["manner"]["rate"] == 0
    assert cascade["takeover"]["median"] > 0.7 and cascade["murmur"]["broken"]["right"]["rate"] == 0
    assert card["systems"]["twin"] == card["systems"]["model"]
    text = (out / "card.md").read_text()
    assert "| twin |" in text and "--beside twin=toy" in text
    systems = ("| cascade |", "| deaf while it speaks |")
    for part in ("minimoshi evaluate dialogue toy --cases", "too few to judge by", *systems, "latency.png"):
        assert part in text
    assert "nan" not in text.lower().replace("resemblyzer", "")
    assert list((out / "episodes").glob("*.flac")) and (out / "answers.png").stat().st_size > 5000
    assert "| right answers, seen | 0.000 | ≥ 0.95 | **missed** |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--force"):
        report.run(asked)


def test_wrong_options_are_named(world, tmp_path, made):
    base = ("toy", "--cases", world.folder, "--out", tmp_path)
    with pytest.raises(ValueError, match="--quick must be at least 1"):
        report.run(options(*base, "--quick", 0))
    with pytest.raises(ValueError, match="no group seem; choose from seen"):
        report.run(options(*base, "--groups", "seem"))
    for given, message in (
        (["toy"], "takes NAME=MODEL, got 'toy'"),
        (["=toy"], "takes NAME=MODEL"),
        (["cascade=toy"], "'cascade' stands in the card already"),
        (["one=toy", "one=other"], "a name of its own"),
    ):
        with pytest.raises(ValueError, match=message):
            report.run(options(*base, *(part for one in given for part in ("--beside", one))))


# -------------------------------------------------------------------------------------------------- the cascade


def test_the_rules_know_the_world():
    rules = Rules()
    assert rules("What is my name?") == "i do not know your name"
    assert rules("My name is Ana.") == "hello anna" and rules("What's my name?") == "your name is anna"
    assert rules("What is 9-5?") == "nine minus five is four"
    assert rules("Repeat after me. 4, 2, 9") == "four two nine"
    assert rules("What is the opposite of hot?") == "the opposite of hot is cold"
    assert rules("Stop!") == "okay" and rules("mhm") == "" and rules("The weather is nice.") is None


def test_a_cascade_waits_for_silence_and_is_stopped_by_any_sound(world, monkeypatch):
    monkeypatch.setattr("minimoshi.evaluation.dialogue.cascade.open_voice", tone_words)
    cascade = Cascade(read_tones, compute=False)
    case = world.case("seen-murmur-00")
    _, rows = judge_case(case, cascade(case), world.ear)
    assert rows[-1]["latency"] == pytest.approx(0.75, abs=0.1) and rows[-1]["silent_after"] < 0.3
    silent = next(case for case in world.cases if case.group == "silence")
    assert not cascade(silent).words
    control = world.case("control-seen-murmur-00")
    assert judge_case(control, cascade(control), world.ear)[1][-1]["right"]
