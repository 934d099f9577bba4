"""Models on disk: what was saved comes back, and nothing else is let in."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from minimoshi import FullDuplexDialogueModel, HeliumModel, HierarchicalGenerator, MimiAudioCodec
from minimoshi.checkpoint import read_tensors
from tests.helpers import HELIUM, MIMI, MOSHI, assert_same, refused, same_weights, small_codec, small_generator

MAKE = {
    MimiAudioCodec: small_codec,
    HeliumModel: lambda: HeliumModel(HELIUM),
    HierarchicalGenerator: small_generator,
    FullDuplexDialogueModel: lambda: FullDuplexDialogueModel(MOSHI, codec=None),
}
every_model = pytest.mark.parametrize("kind", MAKE, ids=lambda kind: kind.__name__)


def outputs(model: torch.nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    if isinstance(model, MimiAudioCodec):
        return model.decode(model.encode(torch.randn(2, 1, 5 * model.frame_size, generator=generator)))
    if isinstance(model, HeliumModel):
        return model(torch.randint(20, (2, 9), generator=generator))
    if isinstance(model, HierarchicalGenerator):
        return model(torch.randint(20, (2, 7, 9), generator=generator)).audio_logits
    return model.respond(torch.randn(4000, generator=generator), seed=1, silence_after=0).stereo


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a small codec."""
    small_codec().save_pretrained(tmp_path / "codec")
    return tmp_path / "codec"


def edit_config(folder: Path, **changes) -> None:
    card = json.loads((folder / "config.json").read_text())
    card["config"] |= changes
    (folder / "config.json").write_text(json.dumps(card))


@every_model
def test_saved_and_loaded_it_gives_the_same(kind: type, tmp_path: Path) -> None:
    model = MAKE[kind]().train()
    model.save_pretrained(tmp_path / "deep" / "folder")
    assert {path.name for path in (tmp_path / "deep" / "folder").iterdir()} == {"config.json", "model.safetensors"}
    loaded = kind.from_pretrained(tmp_path / "deep" / "folder")
    assert type(loaded) is kind and loaded.config == model.config and not loaded.training
    assert same_weights(loaded, model)
    assert_same(outputs(loaded), outputs(model), 0)
    assert kind.from_pretrained(str(tmp_path / "deep" / "folder")).config == model.config  # a string will do


@every_model
def test_saved_in_half_precision_it_is_half_as_large_and_close(kind: type, tmp_path: Path) -> None:
    model = MAKE[kind]()
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.75 * whole  # names take their share in models as small as these
    loaded = kind.from_pretrained(tmp_path / "half")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    assert {t.dtype for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.float16}
    narrow = kind.from_pretrained(tmp_path / "half", dtype=torch.bfloat16)
    if isinstance(narrow, FullDuplexDialogueModel):
        assert {parameter.dtype for parameter in narrow.codec.parameters()} == {
            torch.float32
        }  # half precision is heard
        narrow = narrow.generator
    assert {parameter.dtype for parameter in narrow.parameters()} == {torch.bfloat16}


def test_with_eight_bits_every_row_has_its_scale(tmp_path: Path) -> None:
    model = small_generator(MOSHI)
    head = model.text_model.head.weight.data
    head[0], head[1] = 0.0, 300 * head[1]
    model.save_pretrained(tmp_path, dtype=torch.int8)
    stored = load_file(tmp_path / "model.safetensors")
    scales = {name for name in stored if name.endswith("_scb")}
    for name, tensor in model.state_dict().items():
        assert stored[name].dtype == (torch.int8 if tensor.dim() > 1 else torch.float16)
        assert (f"{name}_scb" in scales) == (tensor.dim() > 1)
    loaded = HierarchicalGenerator.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for name, tensor in model.state_dict().items():
        wrong = (loaded.state_dict()[name] - tensor).abs()
        step = tensor.abs().amax(-1, keepdim=True) / 127 if tensor.dim() > 1 else tensor.abs() / 500
        assert (wrong <= 0.51 * step + 1e-7).all(), name
    loaded.save_pretrained(tmp_path / "again", dtype=torch.int8)  # nothing more is lost
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(stored[name], again[name]) for name in stored if name not in scales)


def test_eight_bits_without_their_scale_are_refused(tmp_path: Path) -> None:
    model = small_generator(MOSHI)
    model.save_pretrained(tmp_path, dtype=torch.int8)
    stored = load_file(tmp_path / "model.safetensors")
    name = next(name for name in stored if name.endswith("_scb"))
    for changed, message in ((None, "got nothing"), (stored[name][:-1], "got [")):
        tensors = {n: t for n, t in (stored | {name: changed}).items() if t is not None}
        save_file(tensors, tmp_path / "model.safetensors")
        with refused(None, "8-bit integers", name, message):
            HierarchicalGenerator.from_pretrained(tmp_path)
    with refused(None, "torch.int8", "float8_e4m3fn"):
        model.save_pretrained(tmp_path, dtype=torch.float8_e4m3fn)
    next(p for p in model.parameters() if p.dim() > 1).data[0, 0] = float("nan")
    with refused(None, "not saved", "NaN"):
        model.save_pretrained(tmp_path, dtype=torch.int8)


def test_weights_that_a_dtype_cannot_hold_are_not_written(saved: Path) -> None:
    """Half precision ends at 65,504; the file that was there stays."""
    codec, before = small_codec(), (saved / "model.safetensors").read_bytes()
    codec.quantizer.acoustic.embedding_sum[1, 2, 3] = 70_000
    with refused(None, "quantizer.acoustic.embedding_sum", "float16"):
        codec.save_pretrained(saved, dtype=torch.float16)
    codec.downsample.weight.data[0, 0, 0] = torch.nan
    with refused(None, "downsample.weight", "NaN"):
        codec.save_pretrained(saved)
    assert (saved / "model.safetensors").read_bytes() == before
    MimiAudioCodec.from_pretrained(saved)


def test_a_crash_while_writing_keeps_the_old_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = MimiAudioCodec.from_pretrained(saved)

    def crash(tensors: dict, path: Path, metadata: object) -> None:
        path.write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr("minimoshi.checkpoint.save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        small_codec().save_pretrained(saved)
    assert same_weights(MimiAudioCodec.from_pretrained(saved), before)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda data: data[: len(data) // 2], ["truncated"]),
        (lambda data: data[:5], ["truncated"]),
        (lambda data: b"", ["truncated"]),
        (lambda data: b"\xff" * len(data), ["corrupt"]),
        (lambda data: pickle.dumps({"weight": [1, 2, 3]}), ["pickle"]),
    ],
)
def test_broken_files_are_refused(saved: Path, damage, words: list[str]) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with refused(None, "model.safetensors", "not a complete safetensors file", *words):
        MimiAudioCodec.from_pretrained(saved)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (tmp_path.joinpath("trapped").touch, ())

    for name in ("model.safetensors", "model.pt", "model.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with refused(None, name, "pickle"):
            read_tensors(tmp_path / name)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with refused(None, "pickle"):
        read_tensors(tmp_path / "model.safetensors")
    assert not (tmp_path / "trapped").exists()


def test_all_that_does_not_fit_is_named_at_once(saved: Path) -> None:
    weights = saved / "model.safetensors"
    tensors = load_file(weights)
    del tensors["downsample.weight"]
    tensors["upsample.weight"] = torch.zeros(3, 3)
    tensors["encoder.0.bias"][0] = torch.nan
    tensors["surprise"] = torch.zeros(2)
    save_file(tensors, weights)
    with refused(
        None,
        "MimiAudioCodec",
        "4 problems",
        "missing downsample.weight [16, 16, 4]",
        "unexpected surprise [2]",
        "upsample.weight: expected shape [16, 1, 4], got [3, 3]",
        "encoder.0.bias holds NaN",
    ):
        MimiAudioCodec.from_pretrained(saved)


def test_a_config_that_fits_no_weights_is_refused(saved: Path) -> None:
    edit_config(saved, codebook_size=64)
    with refused(None, "embedding_sum", "expected shape [1, 64, 8], got [1, 32, 8]"):
        MimiAudioCodec.from_pretrained(saved)


def test_a_config_with_unknown_keys_is_refused(saved: Path) -> None:
    edit_config(saved, codebok_size=64)
    with refused(None, "'codebok_size' (did you mean 'codebook_size'?)"):
        MimiAudioCodec.from_pretrained(saved)


@pytest.mark.parametrize(
    "content, words",
    [
        ('{"minimoshi": "MimiAudioCodec", "conf', ["not readable JSON"]),
        ("\xff\xfe", ["not readable JSON"]),
        ("[1, 2]", ["no minimoshi model"]),
        ('{"model_type": "mimi"}', ["no minimoshi model", "interop"]),
        ('{"minimoshi": "MimiAudioCodec"}', ['no "config"']),
        ('{"minimoshi": "MimiAudioCodec", "config": [1]}', ['no "config"']),
    ],
)
def test_a_broken_config_is_named(saved: Path, content: str, words: list[str]) -> None:
    (saved / "config.json").write_text(content, encoding="latin-1")
    with refused(None, "config.json", *words):
        MimiAudioCodec.from_pretrained(saved)


def test_another_kind_of_model_is_refused(saved: Path) -> None:
    with refused(None, "describes MimiAudioCodec, not a HeliumModel"):
        HeliumModel.from_pretrained(saved)


def test_missing_files_are_named(saved: Path) -> None:
    with refused(None, "is a file", "takes the folder"):
        MimiAudioCodec.from_pretrained(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    with refused(None, "model.safetensors", error=FileNotFoundError):
        MimiAudioCodec.from_pretrained(saved)
    (saved / "config.json").unlink()
    with refused(None, "no config.json", "save_pretrained", error=FileNotFoundError):
        MimiAudioCodec.from_pretrained(saved)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer) -> Path:
    """A package that ships one small model of each kind, named "toy"."""
    folder = tmp_path / "pretrained"
    small_codec().save_pretrained(folder / "toy" / "mimi")
    HeliumModel(HELIUM).save_pretrained(folder / "toy" / "helium")
    card = tokenizer.vocab_size
    FullDuplexDialogueModel(
        MOSHI.replace(
            mimi=MIMI,
            helium=HELIUM.replace(text_card=card),
            depth=MOSHI.depth.replace(text_card=card),
        )
    ).generator.save_pretrained(folder / "toy" / "generator")
    (folder / "toy" / "tokenizer").mkdir()
    tokenizer.save(folder / "toy" / "tokenizer")
    for module in ("minimoshi.checkpoint", "minimoshi.text.tokenizer"):
        monkeypatch.setattr(f"{module}.SHIPPED", folder)
    return folder


@every_model
def test_shipped_models_load_by_name(kind: type, shipped: Path) -> None:
    assert isinstance(kind.from_pretrained("toy"), kind)


def test_a_shipped_dialogue_is_made_of_the_shipped_parts(shipped: Path, tokenizer) -> None:
    model = FullDuplexDialogueModel.from_pretrained("toy")
    assert same_weights(model.codec, MimiAudioCodec.from_pretrained("toy"))
    assert same_weights(model.generator, HierarchicalGenerator.from_pretrained("toy"))
    assert model.tokenizer.proto == tokenizer.proto and not model.training


@every_model
def test_a_wrong_name_lists_what_exists(kind: type, shipped: Path) -> None:
    with refused(None, "'tinny'", "toy", error=FileNotFoundError):
        kind.from_pretrained("tinny")


def test_a_repo_id_is_fetched_only_when_nothing_else_has_the_name(
    saved: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def snapshot_download(repo: str, allow_patterns: list[str]) -> str:
        asked.append(repo)
        assert "model.safetensors" in allow_patterns and not [
            p for p in allow_patterns if p.endswith((".bin", ".pt", "*"))
        ]
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    assert isinstance(MimiAudioCodec.from_pretrained("someone/codec"), MimiAudioCodec)
    assert asked == ["someone/codec"]
    small_codec().save_pretrained(tmp_path / "someone" / "codec")
    MimiAudioCodec.from_pretrained("someone/codec")
    MimiAudioCodec.from_pretrained("toy")
    for name in ("./someone/else", "/nowhere/at all", "a/b/c", "~/x"):
        with pytest.raises(FileNotFoundError):
            MimiAudioCodec.from_pretrained(name)
    assert asked == ["someone/codec"]


def test_a_repo_that_cannot_be_fetched_says_so(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(*_: object, **__: object) -> str:
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with refused(None, "'someone/codec'", "toy", "no network", error=FileNotFoundError):
        MimiAudioCodec.from_pretrained("someone/codec")
