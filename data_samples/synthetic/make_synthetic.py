"""Build this folder: the same sentences in four synthetic voices, and ten minutes of other speech as numbers.

The clips are for comparing voices: `heart` and `deep` are one engine with two throats and keep exactly the same time,
so that frame 17 of one is frame 17 of the other; `slt` and `rms` are other voices with a tempo of their own.
`frames.safetensors` is for training something in seconds: the log-mel pictures of 80 ms frames as 32 principal
components, with the phones that sound in each. Run it again with

    python data_samples/synthetic/make_synthetic.py

It needs pip install 'minimoshi[train]' and apt-get install libflite1.
"""

import json
import random
from pathlib import Path

import numpy as np
import soundfile
import torch

from minimoshi.checkpoint import write_tensors
from minimoshi.data.sentences import sentences
from minimoshi.data.voices import PHONES, Speech, open_voice
from minimoshi.training.losses import LogMel

FOLDER = Path(__file__).parent
SAMPLE_RATE, FRAME, LOUDNESS = 24_000, 1_920, 0.07
DEEP = "hibari:f0=0.58,formant=0.95"
CLIP_VOICES = {"heart": "hibari", "deep": DEEP, "slt": "flite:slt", "rms": "flite:rms"}
FRAME_VOICES = {**CLIP_VOICES, "high": "hibari:f0=1.2,formant=1.08", "awb": "flite:awb"}
SEX = {"heart": "female", "deep": "male", "slt": "female", "rms": "male"}
SENTENCES = [
    "The young king would like a cup of tea.",
    "She put your yellow shoes in the garage.",
    "We found a small fish under the bridge.",
    "Both boys thought the joke was very good.",
    "My father works near the river all year.",
    "How much cheese do you have at home?",
]
SECONDS_A_VOICE = 100
BANDS, COLUMNS, DIMENSIONS = 40, 4, 32  # a frame is a picture of 40 bands and 4 columns of 20 ms


def loud(wav: np.ndarray) -> np.ndarray:
    scaled = wav * (LOUDNESS / np.sqrt(np.mean(np.square(wav, dtype=np.float64))))
    return np.clip(scaled, -0.99, 0.99).astype(np.float32)


def spans(found: list, start: float) -> list:
    return [[s.label, [round(max(0.0, s.start - start), 3), round(s.end - start, 3)]] for s in found if s.end > start]


def make_clips() -> list[dict]:
    """Write the clips, with 80 ms kept around the speech; rows for transcripts.json."""
    rows = []
    for voice, spec in CLIP_VOICES.items():
        for number, text in enumerate(SENTENCES, 1):
            speech = open_voice(spec)(text)
            start = max(0.0, speech.words[0].start - 0.08)
            end = speech.words[-1].end + 0.08
            wav = loud(speech.wav[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)])
            name = f"{voice}_{number}.flac"
            soundfile.write(FOLDER / name, wav, SAMPLE_RATE, subtype="PCM_16")
            about = {"file": name, "text": text, "speaker": voice, "sex": SEX[voice], "language": "en"}
            words = [[label.lower(), span] for label, span in spans(speech.words, start)]
            seconds = round(len(wav) / SAMPLE_RATE, 3)
            rows.append({**about, "seconds": seconds, "words": words, "phones": spans(speech.phones, start)})
    return rows


def phone_ids(speech: Speech, columns: int) -> np.ndarray:
    """The phone of each 20 ms, an index into PHONES (0: silence)."""
    ids = np.zeros(columns, np.uint8)
    for span in speech.phones:
        ids[round(50 * span.start) : round(50 * span.end)] = PHONES.index(span.label)
    return ids


def make_frames() -> dict[str, torch.Tensor]:
    """Ten minutes of generated sentences, every one spoken once, as numbers.

    latent int8 [N, 32], phones uint8 [N, 4] (one each 20 ms), voice uint8 [N], sentence int16 [N];
    basis [32, 160], mean [160] and scale [32] to turn latents into log-mel pictures again.
    """
    mel = LogMel(1024, FRAME // COLUMNS, BANDS, low=40.0, high=11_800.0, causal=True)
    pictures, phones, voices, numbers = [], [], [], []
    texts, count = sentences(random.Random(6).random(), 1.0), 0
    for voice, spec in enumerate(FRAME_VOICES.values()):
        frames, speak = 0, open_voice(spec)
        while frames < SECONDS_A_VOICE * SAMPLE_RATE / FRAME:
            speech = speak(next(texts))
            wav = torch.from_numpy(loud(speech.wav))
            n = len(wav) // FRAME
            with torch.no_grad():
                picture = mel(wav[None, : n * FRAME])[0].T.reshape(n, BANDS * COLUMNS)
            pictures.append(picture)
            phones.append(torch.from_numpy(phone_ids(speech, COLUMNS * n).reshape(n, COLUMNS)))
            voices.append(torch.full((n,), voice, dtype=torch.uint8))
            numbers.append(torch.full((n,), count, dtype=torch.int16))
            frames, count = frames + n, count + 1
    picture = torch.cat(pictures)
    mean = picture.mean(0)
    centred = picture - mean
    basis = torch.linalg.eigh(centred.T @ centred)[1].flip(1)[:, :DIMENSIONS].T.contiguous()
    latent = centred @ basis.T
    scale = latent.abs().amax(0) / 127
    kept = float(latent.square().sum() / centred.square().sum())
    print(f"{len(latent)} frames of {count} sentences; 32 components keep {kept:.3f} of the variance")
    return {
        "latent": (latent / scale).round().to(torch.int8),
        "phones": torch.cat(phones),
        "voice": torch.cat(voices),
        "sentence": torch.cat(numbers),
        "basis": basis,
        "mean": mean,
        "scale": scale,
    }


def main() -> None:
    torch.set_num_threads(1)
    rows = make_clips()
    lines = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (FOLDER / "transcripts.json").write_text(f"[\n {lines}\n]\n", encoding="utf-8")
    write_tensors(FOLDER / "frames.safetensors", make_frames(), {"voices": " ".join(FRAME_VOICES)})


if __name__ == "__main__":
    main()
