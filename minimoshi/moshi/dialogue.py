"""FullDuplexDialogueModel: sound in, sound out, both at once (paper §3.4.3)."""

from __future__ import annotations

import functools
import gc
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..audio import check_mono, check_writable, save_audio
from ..checkpoint import CONFIG, Pretrained, read_json, shipped_names
from ..config import EPAD_ID, PAD_ID, SAMPLE_RATE, MoshiConfig
from ..mimi import MimiAudioCodec
from ..sampling import Sampling
from ..text import TextTokenizer
from ..text.tokenizer import MODEL, TextStream
from .generator import HierarchicalGenerator
from .grid import UNGENERATED

SETTLING = 8  # frames in which the last word of `say` may fade
PATIENCE = 9  # frames that Moshi may wait before the next of the words that it is told to say


@dataclass
class Frame:
    """80 ms of conversation."""

    pcm: Tensor  # float [1920]: Moshi's voice
    text: str | None  # what Moshi's inner monologue adds in this frame, a space before a new word
    token: int | None  # the same as a text token; None while the acoustic delay fills
    codes: Tensor | None  # int64 [dep_q]: Moshi's codes
    user_codes: Tensor  # int64 [n_user]: what was heard


@dataclass
class Dialogue:
    """A conversation that is over."""

    stereo: Tensor  # float [2, S']: left Moshi, right the user
    text: list[tuple[str, float]]  # Moshi's words with the second at which each starts
    codes: Tensor  # int64 [1 + n_q, T]: the time-aligned grid, text, Moshi, user; -1 where a frame was not complete

    @property
    def transcript(self) -> str:
        """Moshi's words as one line."""
        return " ".join(word for word, _ in self.text)

    def save(self, path: str | os.PathLike, force: bool = False) -> None:
        """Write stereo sound to `path` and the timed words beside it as .json. Existing files stay unless `force`."""
        path = Path(path)
        beside = path.with_suffix(".json")
        check_writable(beside, force)
        save_audio(path, self.stereo, force=force)
        words = [{"text": word, "start": round(start, 3)} for word, start in self.text]
        beside.write_text(json.dumps({"text": self.transcript, "words": words}, indent=1) + "\n", encoding="utf-8")


class FullDuplexDialogueModel(Pretrained, nn.Module):
    """Codec, generator and tokenizer joined: hears 80 ms, thinks, speaks 80 ms.

    >>> model = FullDuplexDialogueModel.from_pretrained("tiny")
    >>> session = model.session(seed=0)
    >>> frame = session.step(pcm)         # pcm float [1920]
    >>> dialogue = model.respond(wav)     # a whole recording, float [S] at 24 kHz
    """

    config_class = MoshiConfig
    part = HierarchicalGenerator.part  # a shipped dialogue model is made of its shipped parts

    def __init__(
        self,
        config: MoshiConfig | None = None,
        *,
        codec: MimiAudioCodec | None = None,
        generator: HierarchicalGenerator | None = None,
        tokenizer: TextTokenizer | None = None,
    ):
        super().__init__()
        config = config or (generator.config if generator else MoshiConfig.preset("tiny"))
        self.codec = codec or MimiAudioCodec(config.mimi)
        self.generator = generator or HierarchicalGenerator(config)
        self.tokenizer = tokenizer
        self.config = self.generator.config.replace(mimi=self.codec.config)
        self._check_parts()

    def _check_parts(self) -> None:
        config, codec = self.config, self.codec
        if codec.config.codebook_size != config.card:
            raise ValueError(
                f"the codec has {codec.config.codebook_size} entries per codebook, the generator expects {config.card}"
            )
        if codec.n_quantizers < max(config.dep_q, config.n_user):
            raise ValueError(
                f"the codec gives {codec.n_quantizers} codebooks, the generator needs "
                f"{max(config.dep_q, config.n_user)}"
            )
        if self.tokenizer is not None and self.tokenizer.vocab_size > config.helium.text_card:
            raise ValueError(
                f"the tokenizer has {self.tokenizer.vocab_size} pieces, the generator only {config.helium.text_card}"
            )

    @property
    def sampling(self) -> Sampling:
        """How it draws its tokens unless told otherwise."""
        return self.generator.sampling

    def session(self, seed: int | None = None, **sampling: Any) -> DialogueSession:
        """Start a conversation. Sessions are independent; equal seeds and sounds give equal answers.

        `sampling`: temperature, top_k, text_temperature, text_top_k and the other fields of `Sampling`.
        """
        return DialogueSession(self, seed, **sampling)

    def sessions(self, batch_size: int, *, seeds: Sequence[int | None] | None = None, **sampling: Any) -> DialogueBatch:
        """Start several conversations that share every step, each with its seed; options as in `session`."""
        seeds = [None] * batch_size if seeds is None else seeds
        if batch_size < 1 or len(seeds) != batch_size:
            raise ValueError(f"expected 1 or more conversations and a seed for each, got {batch_size} and {seeds}")
        return DialogueBatch(self, seeds, **sampling)

    def respond(
        self,
        wav: Tensor,
        *,
        seed: int | None = None,
        silence_after: float = 3.0,
        progress: bool = False,
        **sampling: Any,
    ) -> Dialogue:
        """Play a recording, float [S] at 24 kHz, to Moshi and record both sides.

        The user stays silent for `silence_after` seconds at the end, so that Moshi can finish. The sound is padded to
        whole frames. `sampling` are the options of `session`.
        """
        check_mono(wav)
        if silence_after < 0:
            raise ValueError(f"silence_after must be 0 or more seconds, got {silence_after}")
        size = self.codec.frame_size
        frames = -(-(len(wav) + int(silence_after * SAMPLE_RATE)) // size)
        user = torch.cat([wav, wav.new_zeros(frames * size - len(wav))])
        session = self.session(seed, **sampling)
        return session.converse(user, progress=progress)

    def say(self, text: str, *, seed: int | None = None, **sampling: Any) -> Dialogue:
        """Speak a text in Moshi's voice: the inner monologue is given instead of sampled, the sound follows from it.

        `sampling` are the options of `session`. ValueError for a text without words.
        """
        if not text.strip():
            raise ValueError("there is nothing to say: the text has no words")
        session = self.session(seed, **sampling)
        session.say(text)
        silence, frames = torch.zeros(self.codec.frame_size), []
        while session.batch.saying(0):
            frames.append(session.step(silence))
        session.batch.forced[0].extend([PAD_ID] * SETTLING)  # and then nothing
        frames += [session.step(silence) for _ in range(SETTLING)]
        return session.recorded(frames, silence.repeat(len(frames)))

    def save_pretrained(self, folder: str | os.PathLike, dtype: torch.dtype | None = None) -> None:
        super().save_pretrained(folder, dtype)
        if self.tokenizer is not None:
            self.tokenizer.save(folder)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> FullDuplexDialogueModel:
        """A shipped name, the folder of a whole model, or of a generator alone: `with_tiny_codec` completes it."""
        name = os.fspath(name_or_path)
        if name in shipped_names(cls.part):
            model = cls(
                codec=MimiAudioCodec.from_pretrained(name),
                generator=HierarchicalGenerator.from_pretrained(name),
                tokenizer=TextTokenizer.from_pretrained(name),
            )
        elif _is_generator(Path(name)):
            own = name if (Path(name) / MODEL).exists() else "tiny"
            model = with_tiny_codec(HierarchicalGenerator.from_pretrained(name), own)
        else:
            return super().from_pretrained(name_or_path, device, dtype)
        return model._place(device, dtype).eval()

    def _place(self, device: str | torch.device, dtype: torch.dtype) -> FullDuplexDialogueModel:
        self.generator.to(dtype=dtype)  # the codec stays in single precision: half of it is heard
        return self.to(device=device)

    def _notes(self) -> dict[str, Any]:
        return self.generator._notes()

    def _load(self, folder: Path, card: dict[str, Any]) -> None:
        self.generator.read_notes(card)
        super()._load(folder, card)
        if (folder / MODEL).exists():
            self.tokenizer = TextTokenizer(folder / MODEL)


def _is_generator(folder: Path) -> bool:
    card = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    return isinstance(card, dict) and card.get("minimoshi") == HierarchicalGenerator.__name__


def with_tiny_codec(generator: HierarchicalGenerator, tokenizer: str = "tiny") -> FullDuplexDialogueModel:
    """A generator with ears and a mouth: the tiny codec, and the tokenizer of that name or folder.

    Raises ValueError for one without a mouth: it is a `Transcriber`'s.
    """
    if not generator.config.dep_q:
        raise ValueError("this generator only listens: Transcriber, or `minimoshi transcribe --model`, can use it")
    return FullDuplexDialogueModel(
        codec=MimiAudioCodec.from_pretrained("tiny"),
        generator=generator,
        tokenizer=TextTokenizer.from_pretrained(tokenizer),
    )


class DialogueBatch:
    """Conversations that share every step; each begins, stands still and begins anew on its own."""

    def __init__(self, model: FullDuplexDialogueModel, seeds: Sequence[int | None], **sampling: Any):
        settle_memory()
        self.model, batch_size = model, len(seeds)
        self.codec_state = model.codec.initial_state(batch_size)
        self.stream = model.generator.stream(batch_size, seed=seeds, **sampling)
        self.words = [self._text_stream() for _ in range(batch_size)]
        # of each row: text tokens to come, frame by frame; then words to say when Moshi is ready for the next one
        self.forced: list[deque[int]] = [deque() for _ in range(batch_size)]
        self.script: list[deque[list[int]]] = [deque() for _ in range(batch_size)]
        self.waited = [0] * batch_size  # frames since the last word of the script began
        self._spend_first_call(None)

    def start(self, row: int, seed: int | None = None) -> None:
        """A new conversation in one row; the others do not notice."""
        if not 0 <= row < len(self.words):
            raise ValueError(f"rows run from 0 to {len(self.words) - 1}, got {row}")
        rows = torch.arange(len(self.words), device=self.stream.device) == row
        self.codec_state.reset(rows)
        self.stream.restart(row, seed)
        self.words[row], self.forced[row], self.script[row] = self._text_stream(), deque(), deque()
        self._spend_first_call(rows)

    def speak(self, row: int) -> None:
        """Make EPAD, "a word begins with the next frame", the next text token: Moshi takes the turn."""
        self.forced[row].appendleft(EPAD_ID)

    def say(self, row: int, text: str) -> None:
        """Make these the next words; when each begins is Moshi's choice. After them it goes on as it likes.

        A word waits until the text that Moshi would say by itself is more than PAD, or PATIENCE frames, so that the
        words keep the pace of their sound (as in the official synthesiser, arXiv 2509.08753).
        """
        if self.model.tokenizer is None:
            raise ValueError("this model has no tokenizer; set model.tokenizer = TextTokenizer(path)")
        words = [self.model.tokenizer.encode(word) for word in text.split()]
        if words:
            self.script[row].extend(words)
            self.waited[row] = PATIENCE  # begin at once

    def saying(self, row: int) -> bool:
        """Whether there are still words or tokens that this row was told to say."""
        return bool(self.forced[row] or self.script[row])

    @torch.inference_mode()
    def step(self, pcm: Tensor, active: Tensor | None = None) -> list[Frame | None]:
        """80 ms of every user, float [B, 1920] in -1..1 -> Moshi's 80 ms for each.

        Rows where `active`, bool [B], is false stand still, whatever their sound, and get None.
        """
        codec, config, state = self.model.codec, self.model.config, self.codec_state
        active = self._checked(pcm, active)
        if not active.any():
            return [None] * len(pcm)
        with state.standing(~active):
            user_codes = codec.encode(pcm[:, None].to(self.stream.device), state)[:, : config.n_user, 0]
        out = self.stream.step(user_codes, text=self._forced_text(active), active=active)
        if out is None:
            out = user_codes.new_full((len(pcm), 1 + config.dep_q), UNGENERATED)
        voice, complete = torch.zeros_like(pcm), out[:, 0] != UNGENERATED
        if complete.any():
            with state.standing(~complete):
                heard = codec.decode(out[:, 1:, None].clamp(min=0), state)[:, 0].to(pcm.device)
            voice = torch.where(complete[:, None].to(pcm.device), heard, voice)
        return [
            self._frame(row, voice[row], out[row], user_codes[row]) if active[row] else None for row in range(len(pcm))
        ]

    def _checked(self, pcm: Tensor, active: Tensor | None) -> Tensor:
        """The active rows, on the model's device."""
        batch, size = len(self.words), self.model.codec.frame_size
        if pcm.shape != (batch, size):
            raise ValueError(
                f"expected one frame of {size} samples (80 ms at {SAMPLE_RATE} Hz) for each of {batch} conversations, "
                f"got {list(pcm.shape[:1])} of shape {list(pcm.shape[1:])}"
            )
        if active is None:
            active = torch.ones(batch, dtype=torch.bool)
        self.stream.check_active(active)
        return active.to(self.stream.device)

    def _forced_text(self, active: Tensor) -> Callable[[Tensor], Tensor] | None:
        """What turns the text tokens that were drawn, int64 [B], into those that are to come; None: they stay."""
        rows = [row for row in range(len(self.words)) if active[row] and self.saying(row)]
        if not rows:
            return None

        def choose(drawn: Tensor) -> Tensor:
            text = drawn.clone()
            for row in rows:
                text[row] = self._next_token(row, int(drawn[row]))
            return text

        return choose

    def _next_token(self, row: int, drawn: int) -> int:
        forced, script = self.forced[row], self.script[row]
        if forced:
            return forced.popleft()
        if drawn == PAD_ID and self.waited[row] < PATIENCE:
            self.waited[row] += 1
            return PAD_ID
        self.waited[row] = 0
        forced.extend(script.popleft())
        return EPAD_ID if drawn in (PAD_ID, EPAD_ID) else forced.popleft()  # EPAD announces a word after silence

    def _frame(self, row: int, voice: Tensor, out: Tensor, user_codes: Tensor) -> Frame:
        token, words = int(out[0]), self.words[row]
        if token == UNGENERATED:
            return Frame(voice, None, None, None, user_codes)
        return Frame(voice, words.push(token) if words else None, token, out[1:], user_codes)

    def _text_stream(self) -> TextStream | None:
        return self.model.tokenizer.stream() if self.model.tokenizer else None

    def _spend_first_call(self, rows: Tensor | None) -> None:
        """The generator's first call cannot see its codes: it gets none, so that nothing the user says is lost."""
        codes = torch.zeros(len(self.words), self.model.config.n_user, dtype=torch.int64, device=self.stream.device)
        self.stream.step(codes, active=rows)


class DialogueSession:
    """One conversation in progress: a batch of one."""

    def __init__(self, model: FullDuplexDialogueModel, seed: int | None, **sampling: Any):
        self.model = model
        self.batch = DialogueBatch(model, [seed], **sampling)
        self.stream, self.codec_state = self.batch.stream, self.batch.codec_state

    def step(self, pcm: Tensor) -> Frame:
        """The user's 80 ms, float [1920] in -1..1 -> Moshi's 80 ms. Answers every call, from the first."""
        return self.batch.step(pcm[None])[0]

    def speak(self) -> None:
        """Moshi takes the turn: the next text token is EPAD, "a word begins with the next frame"."""
        self.batch.speak(0)

    def say(self, text: str) -> None:
        """Moshi says these words next, at its own pace, and then goes on as it likes."""
        self.batch.say(0, text)

    def converse(self, user: Tensor, progress: bool = False) -> Dialogue:
        """Step through float [S] of whole frames and keep everything."""
        from tqdm import tqdm

        pieces = user.split(self.model.codec.frame_size)
        return self.recorded([self.step(pcm) for pcm in tqdm(pieces, unit="frame", disable=not progress)], user)

    def recorded(self, frames: list[Frame], user: Tensor) -> Dialogue:
        """Frames in order and what the user said meanwhile, float [S], as a Dialogue."""
        size, config = self.model.codec.frame_size, self.model.config
        unknown = torch.full((1 + config.dep_q,), -1)
        columns = [
            torch.cat(
                [
                    unknown if f.codes is None else torch.cat([torch.tensor([f.token]), f.codes.cpu()]),
                    f.user_codes.cpu(),
                ]
            )
            for f in frames
        ]
        stereo = torch.stack([torch.cat([f.pcm for f in frames]), user]).cpu()
        return Dialogue(stereo, _words([f.text for f in frames], size / SAMPLE_RATE), torch.stack(columns, dim=1))


@functools.cache
def settle_memory() -> None:
    """Once per process, before the first conversation: spare it Python's full garbage collections.

    Such a collection looks at every object that torch has ever loaded and stops everything for some 100 ms, more than a
    frame. What is alive by now stays alive anyway, so it is set aside for good.
    """
    gc.collect()
    gc.freeze()


def timed_words(pieces: Iterable[str | None], seconds: float) -> list[tuple[str, float, float]]:
    """Text pieces by frame -> whole words with the start of their first frame and the end of their last, in seconds."""
    words: list[tuple[str, float, float]] = []
    for index, piece in enumerate(pieces):
        if not piece:
            continue
        end = (index + 1) * seconds
        if piece.startswith(" ") or not words:
            words.append((piece.strip(), index * seconds, end))
        else:
            words[-1] = (words[-1][0] + piece, words[-1][1], end)
    return [word for word in words if word[0]]


def _words(pieces: Iterable[str | None], seconds: float) -> list[tuple[str, float]]:
    return [(word, start) for word, start, _ in timed_words(pieces, seconds)]
