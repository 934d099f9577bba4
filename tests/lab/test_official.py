"""The stored comparison with the official package: green for us, red for a fault, and what the package gives today."""

import importlib.util
import math
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from minimoshi.lab import official

FOLDER = Path(__file__).parents[2] / "data_samples" / "official"
WITHIN = 1e-4


@pytest.fixture(scope="module")
def stored() -> official.Stored:
    return official.stored()


def generator_gaps(stored: official.Stored, generator: nn.Module) -> dict[str, float]:
    pairs = official.lm_layers(generator.config)
    ours = official.outputs(generator, [mine for mine, _ in pairs], lambda: generator(stored.codes))
    return official.differences(ours, stored.outputs, pairs)


def test_every_layer_of_the_language_model_agrees(stored: official.Stored) -> None:
    gaps = generator_gaps(stored, stored.generator())
    assert len(gaps) == 21 and max(gaps.values()) < WITHIN
    out = stored.generator()(stored.codes)
    for name in ("text_logits", "audio_logits"):
        assert official.differences({name: getattr(out, name)}, stored.outputs, [(name, name)])[name] < WITHIN


def test_every_layer_of_the_codec_agrees(stored: official.Stored) -> None:
    codec = stored.codec()
    pairs = official.codec_layers(codec.config)
    ours = official.outputs(codec, [mine for mine, _ in pairs], lambda: codec.decode(codec.encode(stored.wav)))
    gaps = official.differences(ours, stored.outputs, pairs)
    assert len(gaps) == 26 and max(gaps.values()) < WITHIN
    with torch.no_grad():
        codes = codec.encode(stored.wav)
    assert torch.equal(official.spread(codes), stored.outputs["codes"])
    assert min(len(row.unique()) for row in codes[0]) > 2, "codes that are all alike would show nothing"


def test_a_changed_weight_turns_its_layer_red(stored: official.Stored) -> None:
    generator = stored.generator().requires_grad_(False)
    generator.text_model.transformer.layers[1].feed_forward.linear_out.weight[0] += 0.1
    red = [name for name, gap in generator_gaps(stored, generator).items() if gap > WITHIN]
    assert red[0] == "text_model.transformer.layers.1.feed_forward"


def test_nan_and_other_sizes_are_never_equal() -> None:
    y = torch.arange(4.0)
    assert official.differences({"a": y}, {"b": y}, [("a", "b")]) == {"a": 0.0}
    assert official.differences({"a": y.log()}, {"b": y}, [("a", "b")]) == {"a": math.inf}
    assert official.differences({"a": y * math.nan}, {"b": y}, [("a", "b")]) == {"a": math.inf}
    with pytest.raises(ValueError, match="not as many"):
        official.differences({"a": y[:3]}, {"b": y}, [("a", "b")])


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_official", FOLDER / "make_official.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(find_spec("moshi") is None, reason="the official package is not installed")
def test_the_file_is_what_the_official_package_gives_today() -> None:
    made, there = maker().made(), load_file(FOLDER / "mini.safetensors")
    assert made.keys() == there.keys()
    for name, tensor in there.items():
        near = 1e-2 if tensor.dtype == torch.bfloat16 else 1e-4  # a step of bfloat16: processors differ
        assert torch.allclose(made[name].float(), tensor.float(), rtol=near, atol=1e-5), name
