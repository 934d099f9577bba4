"""Sounds on the page: the course's clips, and a player that always comes with a picture and a transcript."""

import base64
import html
import io
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from IPython.display import display

from ..audio import load_audio
from ..config import SAMPLE_RATE
from . import plots
from .figures import show

LOWEST_RATE, HIGHEST_RATE = 3_000, 96_000  # what browsers agree to play
LONGEST_SECONDS = 20.0


@dataclass(frozen=True)
class Clip:
    """A sample of real speech: `wav` float `[1, S]` in -1…1, its rate in hertz, what is said, and by whom."""

    wav: torch.Tensor
    sample_rate: int
    text: str
    speaker: str
    words: list[tuple[str, tuple[float, float]]]  # each word with its start and end in seconds, where known
    path: Path

    @property
    def seconds(self) -> float:
        return self.wav.shape[-1] / self.sample_rate


def samples_folder() -> Path:
    """The folder `data_samples/` that travels with the course, looked for from the working folder upwards."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "data_samples" / "transcripts.json").is_file():
            return folder / "data_samples"
    raise FileNotFoundError(
        f"No folder data_samples/ with a transcripts.json at or above {here}. "
        "Start the notebook from the course's folder, or copy the course with `minimoshi start FOLDER`."
    )


def as_wave(wav: torch.Tensor | np.ndarray) -> np.ndarray:
    """Float32 `[S]` (mono) or `[S, 2]` (stereo) from a sound `[S]`, `[1, S]`, `[2, S]` or `[1, 1, S]`."""
    samples = np.asarray(wav.detach().cpu() if isinstance(wav, torch.Tensor) else wav, dtype=np.float32)
    while samples.ndim > 1 and samples.shape[0] == 1:
        samples = samples[0]
    if samples.ndim > 2 or (samples.ndim == 2 and samples.shape[0] != 2):
        raise ValueError(f"Expected one sound [S], [1, S] or stereo [2, S]; got shape {tuple(wav.shape)}.")
    if samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError("There is nothing to play: the sound is empty or holds NaN or infinite values.")
    return samples.T if samples.ndim == 2 else samples


def sound_base64(wav: torch.Tensor | np.ndarray, sample_rate: int, compact: bool = False) -> tuple[str, str]:
    """(MIME type, base64): 16-bit FLAC, lossless and half the size of a WAV; or MP3, a quarter of that."""
    data = io.BytesIO()
    samples = np.clip(as_wave(wav), -1.0, 1.0 - 2**-15)
    if compact:
        sf.write(data, samples, sample_rate, format="MP3", compression_level=0.5, bitrate_mode="VARIABLE")
    else:
        sf.write(data, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return "audio/mpeg" if compact else "audio/flac", base64.b64encode(data.getvalue()).decode()


def play(
    wav: torch.Tensor | np.ndarray,
    sample_rate: int = 24_000,
    *,
    transcript: str,
    title: str = "Listen",
    picture: bool = True,
    compact: bool = False,
) -> None:
    """Show a sound: its picture, a player, and what is said in it.

    Args:
        wav: `[S]`, `[1, S]` or stereo `[2, S]`, float in -1…1 (louder is clipped, as in any player).
        sample_rate: in hertz, 3,000 to 96,000.
        transcript: the words, or for a sound without words a description in brackets. Never left out: some
            readers hear nothing, and some front ends show no player.
        title: what the listener should listen for.
        picture: False where the picture already stands elsewhere on the page.
        compact: MP3, for a longer sound whose fidelity is not what the page is about.
    """
    transcript = " ".join(transcript.split())
    if not transcript:
        raise ValueError("Every sound needs a transcript; describe sounds without words in [brackets].")
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise ValueError(f"Browsers play {LOWEST_RATE} to {HIGHEST_RATE} Hz; got {sample_rate}. Resample first.")
    samples = as_wave(wav)
    seconds = len(samples) / sample_rate
    if seconds > LONGEST_SECONDS:
        raise ValueError(
            f"{seconds:.0f} s is too long for a page (at most {LONGEST_SECONDS:.0f} s). Play a part of it."
        )
    if picture:
        figure = plots.sound(samples.T, sample_rate, title=title)
        show(
            figure,
            f"{title}: {'waveform' if samples.ndim == 2 else 'waveform and spectrogram'}, {seconds:.2f} s.",
        )
    words = html.escape(transcript)
    kind, data = sound_base64(wav, sample_rate, compact)
    player = (
        '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:0.2em 1em;margin:0.2em 0.4em">'
        f'<audio controls preload="auto" style="height:2.4em" aria-label="{html.escape(title)}: {words}" '
        f'src="data:{kind};base64,{data}"></audio><span><b>{html.escape(title)}</b><br>'
        f'<span style="font-size:0.9em">“{words}” ({seconds:.2f} s, {sample_rate} Hz)</span></span></div>'
    )
    text = f"▶ {title}: “{transcript}” ({seconds:.2f} s, {sample_rate} Hz)"
    display({"text/html": player, "text/plain": text}, raw=True)


def sample(name: str) -> Clip:
    """A clip of real speech, by the beginning of its file name: `sample("allison_monkeys")`.

    Raises FileNotFoundError, listing what there is, when no clip or more than one begins with `name`.
    """
    folder = samples_folder()
    entries = json.loads((folder / "transcripts.json").read_text(encoding="utf-8"))
    found = [entry for entry in entries if entry["file"].startswith(name)]
    if len(found) != 1:
        there = ", ".join(sorted(entry["file"] for entry in entries))
        raise FileNotFoundError(f"{len(found)} clips begin with {name!r}. There are: {there}.")
    path = folder / found[0]["file"]
    words = [(word, (start, end)) for word, (start, end) in found[0].get("words", [])]
    return Clip(load_audio(path), SAMPLE_RATE, found[0]["text"], found[0]["speaker"], words, path)


def questions(*parts: str | float) -> torch.Tensor:
    """A user's side of a conversation, float `[S]` at 24 kHz: names of recorded questions, and seconds of silence.

    >>> lab.questions("count-to-nine", 1.5, "stop")

    Raises FileNotFoundError, listing what there is, for another name.
    """
    folder = resources.files("minimoshi.serving") / "samples"
    there = sorted(item.name.removesuffix(".flac") for item in folder.iterdir() if item.name.endswith(".flac"))
    wavs = []
    for part in parts:
        if isinstance(part, str) and part not in there:
            raise FileNotFoundError(f"there is no question {part!r}; there are {', '.join(there)}")
        silence = not isinstance(part, str)
        wavs.append(torch.zeros(round(part * SAMPLE_RATE)) if silence else load_audio(folder / f"{part}.flac")[0])
    return torch.cat(wavs)


def sample_dialogue() -> tuple[torch.Tensor, list, list]:
    """A small conversation of two real voices at 24 kHz: stereo `[2, S]` (left Moshi, right the user), words of
    Moshi and of the user, each as (word, (start, end)) in seconds."""
    folder = samples_folder()
    timed = json.loads((folder / "dialogue_stereo.json").read_text(encoding="utf-8"))["alignments"]
    voices = {"SPEAKER_MAIN": [], "SPEAKER_USER": []}
    for word, (start, end), speaker in timed:
        voices[speaker].append((word, (start, end)))
    return load_audio(folder / "dialogue_stereo.flac"), voices["SPEAKER_MAIN"], voices["SPEAKER_USER"]
