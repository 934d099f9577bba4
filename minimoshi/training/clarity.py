"""Which takes of Moshi's phrases are understood once the codec has had them: only those are worth learning by heart.

A word said alone loses more in the codec than one in a sentence: "before" comes out as "the four", "six" as "fix".
Said again, a little higher, faster, or elsewhere on the frames, most words survive.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import numpy as np
import torch

from ..config import SAMPLE_RATE
from ..data.miniworld.bank import moshi_take
from ..data.miniworld.coding import CONTEXT, last_frame, with_background
from ..data.miniworld.skills import SPLITS, moshi_says, phrases
from ..data.voices import Speech
from ..evaluation.dialogue.hearing import plain, readings
from ..mimi import MimiAudioCodec

_BREATH = 2  # frames of silence after a phrase, at most
_SPEEDS = (0.95, 1.0, 1.05, 1.1, 1.15)  # at which the other phrases are said


class Clarity:
    """`clarity(phrase, speech, lead)`: how long a take of a phrase is understood, as a share of some answers with it.

    The answers are tried one after the other, up to the first in which it is not, each time with other takes of the
    other phrases: a take that two answers let pass may be lost in every third. It is coded by itself, its sound
    beginning `lead` samples into a frame, as it will be in the bank. listen: a recogniser, (wav [S], sample rate) ->
    text. carriers: how many answers are tried at most.
    """

    def __init__(self, codec: MimiAudioCodec, listen: Callable[[np.ndarray, int], str], carriers: int = 12):
        self.codec, self.listen, self.carriers = codec, listen, carriers
        self._other = functools.cache(lambda phrase, speed: self._codes(moshi_take(phrase, speed), 0))
        self._answers = [phrases(text) for skill, text in moshi_says(SPLITS) if skill != "repeat"]

    @torch.inference_mode()
    def __call__(self, phrase: str, speech: Speech, lead: int) -> float:
        rng, own = random.Random(phrase), self._codes(speech, lead)
        holding = [answer for answer in self._answers if phrase in answer]
        rng.shuffle(holding)
        tries = self.carriers if any(len(answer) > 1 for answer in holding) else len(holding)
        for tried in range(tries):
            answer = holding[tried % len(holding)]
            said = [own if one == phrase else self._other(one, rng.choice(_SPEEDS)) for one in answer]
            codes = torch.cat([piece[:, :, : piece.shape[2] - rng.randint(0, _BREATH)] for piece in said], dim=2)
            heard = readings(self.listen(self.codec.decode(codes)[0, 0].numpy(), SAMPLE_RATE))
            if not any(f" {plain(phrase)} " in f" {reading} " for reading in heard):
                return tried / tries
        return 1.0

    def _codes(self, speech: Speech, lead: int) -> torch.Tensor:
        """int64 [1, Q, F] of a take and the breath after it."""
        sound = (speech.wav * 32767).astype(np.int16)
        wav = with_background(sound, lead, 0, np.random.default_rng(0))
        codes = self.codec.encode(torch.from_numpy(wav)[None, None])[:, :, CONTEXT:]
        return codes[:, :, : last_frame(lead, len(sound)) + 1 + _BREATH]
