"""How well speech survives the codec: words, intelligibility and quality, per speaker.

    python -m minimoshi.evaluation.codec FOLDER... [--codec NAME_OR_PATH] [--quantizers N] [--limit N]

Each FOLDER holds a transcripts.json as `data_samples` does, a list of {"file", "speaker", "text", "language"};
the judge knows English only. For every speaker one line is printed for the original and one for the codec.
WER: word error rate of the judge, a clip's errors capped at its words. STOI: intelligibility from 0 to 1.
PESQ: wide-band quality from 1 to 4.6. mel: distance of log-mel energies.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from ..config import SAMPLE_RATE
from ..mimi import MimiAudioCodec
from .judge import RATE, judge, word_errors


def load_clips(folder: str | Path, limit: int | None = None) -> list[dict]:
    """The English clips of a folder, at most `limit` of each speaker: dicts with wav [S], speaker, text."""
    folder = Path(folder)
    index = folder / "transcripts.json"
    if not index.exists():
        raise FileNotFoundError(
            f"{folder} holds no transcripts.json with a list of file, speaker, text, language"
        )
    clips, seen = [], {}
    for row in json.loads(index.read_text(encoding="utf-8")):
        speaker = row["speaker"]
        if row["language"] != "en" or seen.get(speaker, 0) == limit:
            continue
        seen[speaker] = seen.get(speaker, 0) + 1
        wav, rate = soundfile.read(folder / row["file"], dtype="float32")
        if rate != SAMPLE_RATE or wav.ndim != 1:
            raise ValueError(f"{folder / row['file']}: {rate} Hz, shape {wav.shape}; expected 24 kHz mono")
        clips.append({"wav": wav, "speaker": speaker, "text": row["text"]})
    return clips


@torch.inference_mode()
def through(codec: MimiAudioCodec, wav: np.ndarray, quantizers: int | None = None) -> np.ndarray:
    """float [S] -> float [S]: encoded and decoded again."""
    codes = codec.encode(torch.from_numpy(wav)[None, None])
    return codec.decode(codes[:, :quantizers])[0, 0, : len(wav)].clamp(-1, 1).numpy()


def measure(original: np.ndarray, copy: np.ndarray, text: str) -> dict[str, float]:
    """The four measures of one clip; both sounds [S] at 24 kHz."""
    from pesq import PesqError, pesq
    from pystoi import stoi

    from ..training.losses import MelLoss

    at_16k = [soxr.resample(w, SAMPLE_RATE, RATE) for w in (original, copy)]
    errors, words = word_errors(text, judge()(at_16k[1], RATE))
    try:
        quality = pesq(RATE, *at_16k, "wb")
    except PesqError:  # it finds no speech in one of the two
        quality = float("nan")
    mel = MelLoss(scales=((1024, 256, 80),), rms=False)
    distance = mel(*(torch.from_numpy(w)[None] for w in (copy, original)))
    intelligible = stoi(*at_16k, RATE, extended=False)
    return dict(errors=errors, words=words, stoi=float(intelligible), pesq=quality, mel=float(distance))


def evaluate(
    codec: MimiAudioCodec | None, clips: list[dict], quantizers: int | None = None
) -> dict[str, dict]:
    """Measures per speaker; codec None measures the originals themselves."""
    rows: dict[str, list[dict]] = {}
    for clip in clips:
        copy = clip["wav"] if codec is None else through(codec, clip["wav"], quantizers)
        rows.setdefault(clip["speaker"], []).append(measure(clip["wav"], copy, clip["text"]))
    table = {}
    for speaker, found in rows.items():
        words = sum(r["words"] for r in found)
        means = {k: _mean([r[k] for r in found]) for k in ("stoi", "pesq", "mel")}
        wer = sum(r["errors"] for r in found) / max(1, words)
        table[speaker] = dict(clips=len(found), words=words, wer=wer, **means)
    return table


def _mean(values: list[float]) -> float:
    """The mean of those that could be measured."""
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minimoshi.evaluation.codec", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--codec", default="tiny", help="a shipped name or a folder (default: tiny)")
    parser.add_argument("--quantizers", type=int, help="use only so many codebooks")
    parser.add_argument("--limit", type=int, help="at most so many clips of each speaker")
    parser.add_argument("--no-original", action="store_true", help="leave out the lines of the originals")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    clips = [clip for folder in options.folders for clip in load_clips(folder, options.limit)]
    codec = MimiAudioCodec.from_pretrained(options.codec)
    systems = {options.codec: codec} if options.no_original else {"original": None, options.codec: codec}
    print(f"{'system':24} {'speaker':16} clips words    WER   STOI  PESQ    mel")
    for name, system in systems.items():
        for speaker, row in evaluate(system, clips, options.quantizers).items():
            numbers = f"{row['wer']:6.3f} {row['stoi']:6.3f} {row['pesq']:5.2f} {row['mel']:6.3f}"
            print(f"{name[-24:]:24} {speaker:16} {row['clips']:5} {row['words']:5} {numbers}", flush=True)


if __name__ == "__main__":
    main()
