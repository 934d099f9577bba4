"""Festival: two more American voices from system packages, with exact times of words and phones."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import soundfile
import soxr

from .phones import PHONES
from .speech import SAMPLE_RATE, Span, Speech

# name: (what Festival calls it, the Debian package that holds it)
_VOICES = {
    "ked": ("voice_ked_diphone", "festvox-kdlpc16k"),
    "slt": ("voice_cmu_us_slt_arctic_hts", "festvox-us-slt-hts"),
}
_HELP = "Install it with: sudo apt-get install festival {package} (Debian, Ubuntu), or use a hibari voice"
# Phones that the common alphabet does not tell apart from others.
_TO_PHONE = {"el": "l", "em": "m", "en": "n", "dx": "t", "nx": "n", "hv": "hh", "ix": "ih", "axr": "er", "ux": "uw"}
# A token ("what's", "7") is said as words; signs are tokens too, and last no time.
_SCRIPT = """
({voice})
(set! said (utt.synth (Utterance Text "{text}")))
(define (tell_word w) (format t " %f %f" (item.feat w "word_start") (item.feat w "word_end")))
(define (tell token)
  (if token
      (begin
        (format t "token %s" (item.name token))
        (mapcar tell_word (item.daughters token))
        (format t "\\n")
        (tell (item.next token)))))
(tell (utt.relation.first said 'Token))
(mapcar
  (lambda (s) (format t "phone %s %f %f\\n" (item.name s) (item.feat s "segment_start") (item.feat s "segment_end")))
  (utt.relation.items said 'Segment))
(utt.save.wave said "{path}" 'riff)
"""


class FestivalVoice:
    """A voice of Festival (permissive licences): "ked" (a man, diphones, 16 kHz), "slt" (a woman, 32 kHz).

    "slt" is flite's slt, made by a model (HTS) instead of from pieces of her recordings. Raises ImportError naming
    the system package that is missing, ValueError for an unknown name.
    """

    NAMES = tuple(_VOICES)

    def __init__(self, name: str = "ked"):
        if name not in _VOICES:
            raise ValueError(f"festival voice {name!r}: expected one of {', '.join(_VOICES)}")
        self._voice, package = _VOICES[name]
        self._help = _HELP.format(package=package)
        if not shutil.which("festival"):
            raise ImportError(f"the program festival is missing. {self._help}")

    def __call__(self, text: str) -> Speech:
        if not re.search(r"\w", text) or re.search(r'["\\]', text):
            raise ValueError(f"festival reads words without quotation marks and backslashes, got {text!r}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "said.wav"
            script = _SCRIPT.format(voice=self._voice, text=text, path=path)
            ran = subprocess.run(["festival", "--pipe"], input=script, capture_output=True, text=True)
            if not path.exists():
                raise ImportError(f"festival said nothing as {self._voice}: {ran.stderr.strip()[:200]}. {self._help}")
            wav, rate = soundfile.read(path, dtype="float32")
        words, phones = [], []
        for kind, label, *times in (line.split() for line in ran.stdout.splitlines() if line.strip()):
            times = [float(time) for time in times if float(time) > 0]
            if kind == "token" and times:
                words.append(Span(label, min(times), max(times)))
            elif kind == "phone" and times:
                phones.append(Span(_phone(label), times[0] if len(times) == 2 else 0.0, times[-1]))
        return Speech(soxr.resample(wav, rate, SAMPLE_RATE), words, phones)


def _phone(label: str) -> str:
    label = _TO_PHONE.get(label, label)
    if label not in PHONES:
        raise ValueError(f"festival's phone {label!r} is not one of {', '.join(PHONES)}")
    return label
