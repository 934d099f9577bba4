"""Build dialogue_stereo.flac and dialogue_stereo.json from four clips of this folder.

Left is Moshi's side (Allison), right is the user's (the LibriVox reader): the layout Moshi is trained on.
The user speaks, Moshi answers a quarter of a second later, the user cuts in 0.4 s before she ends, and after
a pause of 0.8 s she answers again. Samples are copied unchanged, so each channel holds the clips exactly.
Run it again with

    python data_samples/make_dialogue.py
"""

import json
from pathlib import Path

import numpy as np
import soundfile

FOLDER = Path(__file__).parent
SAMPLE_RATE = 24000
FRAMES = 144  # 80 ms each: 11.52 s
LEFT, RIGHT = 0, 1
SPEAKERS = ("SPEAKER_MAIN", "SPEAKER_USER")

# channel, clip, the second at which the clip begins
TURNS = [
    (RIGHT, "librivox_young_man.flac", 0.00),
    (LEFT, "allison_sorry.flac", 2.88),
    (RIGHT, "librivox_amiable.flac", 5.15),
    (LEFT, "allison_monkeys.flac", 8.83),
]


def build(folder: Path = FOLDER) -> tuple[np.ndarray, list]:
    """The dialogue as int16 [S, 2]; its word times as [word, [start, end] in seconds, speaker], by start."""
    words = {
        row["file"]: row.get("words", [])
        for row in json.loads((folder / "transcripts.json").read_text("utf-8"))
    }
    stereo = np.zeros((FRAMES * SAMPLE_RATE * 2 // 25, 2), dtype=np.int16)
    alignments = []
    for channel, file, begin in TURNS:
        clip, sample_rate = soundfile.read(folder / file, dtype="int16")
        if sample_rate != SAMPLE_RATE or clip.ndim != 1:
            raise ValueError(f"{file}: {sample_rate} Hz, shape {clip.shape}; expected {SAMPLE_RATE} Hz mono")
        first = round(begin * SAMPLE_RATE)
        stereo[first : first + len(clip), channel] = clip
        for word, (start, end) in words[file]:
            alignments.append([word, [round(begin + start, 2), round(begin + end, 2)], SPEAKERS[channel]])
    return stereo, sorted(alignments, key=lambda item: item[1])


if __name__ == "__main__":
    stereo, alignments = build()
    soundfile.write(FOLDER / "dialogue_stereo.flac", stereo, SAMPLE_RATE, subtype="PCM_16")
    lines = ",\n".join("  " + json.dumps(item) for item in alignments)
    (FOLDER / "dialogue_stereo.json").write_text('{"alignments": [\n' + lines + "\n]}\n", encoding="utf-8")
    print(f"dialogue_stereo.flac: {len(stereo) / SAMPLE_RATE:.2f} s, {len(alignments)} words")
